"""What a rule knows of each service, as it is read from the database."""

from collections.abc import Callable

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.kinds.watched import bet
from qualitrace_monitors.alerts.new_scores import Bet
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


def bet_on(service: str) -> Bet:
    """Make a pass of a service."""
    return Bet(
        judge="groundedness", tier="local", version="1", service=service, weight=1.0, value=1.0, passed=1.0,
        failed=0.0, at=NOW,
    )  # fmt: skip


def test_a_bet_reads_the_watch_of_its_own_service_alone(database: Database) -> None:
    """Of SQLite it takes the same instructions beside five services as beside three hundred."""
    rule = AlertRule.model_validate({"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"})
    taken: list[int] = []
    for known in (5, 300):
        with database.transaction() as connection:
            bet(connection, [(rule, bet_on(f"shop-{number}")) for number in range(known)], NOW)
            steps: list[None] = []
            connection.set_progress_handler(lambda steps=steps: steps.append(None), 1)
            bet(connection, [(rule, bet_on("shop-3"))], NOW)
            connection.set_progress_handler(None, 1)
        taken.append(len(steps))
    assert taken[0] == taken[1]
    with database.transaction() as connection:
        bet(connection, [(rule, bet_on(name)) for name in ("faq", "bank")], NOW)
        watches = RuleWatch.all_of(connection, [rule], NOW)
    assert sorted(watch.number for watch in watches) == [*range(1, 303)]
