"""What rules make of a time in which qualitrace itself stood still."""

from collections.abc import Callable

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.awake_clock import AwakeClock
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS, AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_700_000_000.0
AddScore = Callable[..., str]


def test_a_process_that_was_stopped_takes_nobody_for_silent(database: Database, add_score: AddScore) -> None:
    """Hours of a stop are neither silence nor a wait of `for`; what it then watches itself counts, also if it is slow."""
    rules = [
        AlertRule.model_validate({"name": name, "judge": "groundedness", "when": "no_scores for 10m", **options})
        for name, options in {"silent": {}, "patient": {"for": "5m"}}.items()
    ]
    engine = AlertEngine(rules, database, Estimator(database), Links("http://127.0.0.1:9464"))
    passed = 0.0
    clock = AwakeClock(EVALUATION_SECONDS, lambda: passed)

    def look(seconds: float) -> dict[str, str]:
        nonlocal passed
        passed += seconds
        engine.evaluate(NOW + passed, clock.look())
        return {status.rule: status.state for _, status in engine.statuses()}

    add_score(database, "pass", NOW)
    look(0)
    for _ in range(29):
        look(20)  # a slow machine
    assert look(3 * 3600) == {"silent": "inactive", "patient": "inactive"}
    assert look(20) == {"silent": "firing", "patient": "pending"}
    assert look(3 * 3600) == {"silent": "firing", "patient": "pending"}
    for _ in range(14):
        assert look(20)["patient"] == "pending"
    assert look(20) == {"silent": "firing", "patient": "firing"}
