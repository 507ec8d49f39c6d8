"""What a rule knows of each service, as it is read from the database."""

from collections.abc import Callable

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.rule_watch import LastRead, RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
AddScore = Callable[..., str]


def test_only_what_has_changed_is_read_again(database: Database, add_score: AddScore) -> None:
    """Of a thousand services few have new scores at each look; those that are silent for a period are left out."""
    rule = AlertRule.model_validate(
        {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "false_alarms": "5% per 1d"}
    )
    engine = AlertEngine([rule], database, Estimator(database), Links("http://127.0.0.1:9464"))
    last: LastRead = {}

    def read(at: float) -> dict[str, RuleWatch]:
        engine.evaluate(at)
        return {watch.service: watch for watch in RuleWatch.all_of(database.connection(), [rule], at, last)}

    for service in ("shop", "bank"):
        add_score(database, "fail", NOW, service=service)
    first = read(NOW)
    for _ in range(20):
        add_score(database, "fail", NOW + 50_000, service="shop")
    second = read(NOW + 50_000)
    assert second["bank"] is first["bank"]
    assert (first["shop"].evidence, second["shop"].evidence) == ("recovered", "established")
    assert list(read(NOW + 100_000)) == ["shop"]
    assert len(last) == 1
