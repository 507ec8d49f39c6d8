"""What the engine keeps, reports and forgets: services, tiers, rules that vanish, notifications."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
AddScore = Callable[..., str]


def rule_with(**options: object) -> AlertRule:
    """Make a rule that notifies `ops`."""
    defaults = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]}
    return AlertRule.model_validate({**defaults, **options})


def engine_on(database: Database, *rules: AlertRule, tracking_uri: str = "sqlite:///mlflow.db") -> AlertEngine:
    """Make an engine with these rules."""
    return AlertEngine(rules, database, Estimator(database), Links("http://127.0.0.1:9464", tracking_uri))


def outbox(database: Database) -> list[tuple[str, dict[str, Any]]]:
    """List (receiver, payload) of what waits in the outbox, in order."""
    rows = database.connection().execute("SELECT receiver, body FROM outbox ORDER BY sequence")
    return [(row["receiver"], json.loads(row["body"])) for row in rows]


@pytest.fixture
def failing(database: Database, add_score: AddScore) -> Callable[..., None]:
    """Make a service fail: thirty failing scores."""

    def fail(at: float = NOW, **changes: object) -> None:
        for _ in range(30):
            add_score(database, "fail", at, **changes)

    return fail


def test_each_service_has_its_own_alert(database: Database, add_score: AddScore, failing: Callable[..., None]) -> None:
    """Without `service` a rule follows every service; with it, that one alone."""
    failing(service="shop")
    for _ in range(30):
        add_score(database, "pass", NOW, service="faq")
    engine = engine_on(database, rule_with(), rule_with(name="shop-only", service="shop"))
    engine.evaluate(NOW)
    found = [(rule.name, status.service, status.state) for rule, status in engine.statuses()]
    assert found == [("low", "faq", "inactive"), ("low", "shop", "firing"), ("shop-only", "shop", "firing")]


def test_a_status_shows_the_estimate_of_the_last_evaluation(database: Database, add_score: AddScore) -> None:
    """Value, interval and samples are the estimator's for the rule's quantity, window and confidence."""
    for label in ["pass"] * 20 + ["fail"] * 10:
        add_score(database, label, NOW)
    add_score(database, "fail", NOW - 500)
    engine = engine_on(database, rule_with(when="pass_rate < 0.5", window=300, confidence=0.8))
    engine.evaluate(NOW)
    [(_, status)] = engine.statuses()
    [estimate] = Estimator(database).estimates(NOW, 300, 0.8)
    assert (status.value, status.interval, status.samples) == (20 / 30, estimate.pass_rate_interval, 30)
    engine.evaluate(NOW + 10_000)
    assert engine.statuses() == []


def test_the_firing_notification_says_what_fell_and_where(database: Database, add_score: AddScore) -> None:
    """Labels, a sentence with the numbers, and the three worst answers with links and rationales are in it."""
    for _ in range(17):
        add_score(database, "pass", NOW)
    for number in range(23):
        add_score(database, "fail", NOW, value=0.1 + number / 100, rationale=f"sentence {number}  has\nno source")
    engine = engine_on(
        database, rule_with(severity="critical", notify=["ops", "chat"]), tracking_uri="http://mlflow.example/"
    )
    engine.evaluate(NOW)
    (first, payload), (second, _) = outbox(database)
    assert (first, second, payload["receiver"]) == ("ops", "chat", "ops")
    assert payload["commonLabels"] == {
        "alertname": "low",
        "service": "shop",
        "judge": "groundedness",
        "tier": "local",
        "severity": "critical",
    }
    summary = payload["commonAnnotations"]["summary"]
    # 17 of 40: Clopper and Pearson's 95 % interval is 0.2704 to 0.5911.
    assert summary == (
        "groundedness of shop fell: pass rate 0.42 (95 % interval 0.27–0.59, 40 answers in 1h), threshold 0.9"
    )
    lines = payload["commonAnnotations"]["description"].splitlines()
    assert lines[0] == f"{summary}. Worst traces:"
    assert len(lines) == 4
    link = f"http://mlflow.example/#/experiments/0/traces/tr-{18:032x}"
    assert lines[1] == f"- {link} scored 0.10: sentence 0 has no source"


def test_a_long_rationale_is_cut_and_a_local_store_gives_plain_ids(database: Database, add_score: AddScore) -> None:
    """A description stays readable: rationales end after 300 characters; ids are links only with a server."""
    trace_ids = {add_score(database, "fail", NOW, rationale="x" * 5000) for _ in range(20)}
    engine_on(database, rule_with()).evaluate(NOW)
    [(_, payload)] = outbox(database)
    for line in payload["commonAnnotations"]["description"].splitlines()[1:]:
        trace_id, _, rationale = line.removeprefix("- ").partition(" scored 0.00: ")
        assert trace_id in trace_ids
        assert len(rationale) == 300


def test_a_rule_may_word_its_own_summary(database: Database, failing: Callable[..., None]) -> None:
    """`summary` of the rule replaces the sentence; the description keeps the numbers."""
    failing()
    engine_on(database, rule_with(summary="Answers lack sources")).evaluate(NOW)
    [(_, payload)] = outbox(database)
    assert payload["commonAnnotations"]["summary"] == "Answers lack sources"
    assert "pass rate 0.00" in payload["commonAnnotations"]["description"]


def test_a_resolved_notification_matches_its_firing_one(
    database: Database, add_score: AddScore, failing: Callable[..., None]
) -> None:
    """Same fingerprint, start and receivers, even if severity and receivers were changed meanwhile."""
    failing()
    engine_on(database, rule_with()).evaluate(NOW)
    for _ in range(30):
        add_score(database, "pass", NOW + 5000)
    engine_on(database, rule_with(severity="critical", notify=["other"])).evaluate(NOW + 5000)
    (_, firing), (receiver, resolved) = outbox(database)
    assert receiver == "ops"
    for key in ("fingerprint", "startsAt", "labels"):
        assert resolved["alerts"][0][key] == firing["alerts"][0][key]
    assert firing["alerts"][0]["startsAt"] == "1970-01-12T13:46:40.000Z"
    assert (firing["alerts"][0]["endsAt"], resolved["alerts"][0]["endsAt"]) == (
        "0001-01-01T00:00:00Z",
        "1970-01-12T15:10:00.000Z",
    )
    assert resolved["commonAnnotations"]["summary"].startswith("groundedness of shop recovered: pass rate 1.00")


@pytest.mark.parametrize(
    "rules",
    [[], [rule_with(judge="relevance")], [rule_with(service="faq")]],
    ids=["rule removed", "judge changed", "service changed"],
)
def test_an_alert_without_its_rule_is_resolved_once(
    rules: list[AlertRule], database: Database, failing: Callable[..., None]
) -> None:
    """A firing alert that no rule covers any more is resolved at the receivers of its firing, and forgotten."""
    failing()
    engine_on(database, rule_with()).evaluate(NOW)
    engine = engine_on(database, *rules)
    assert engine.statuses() == []
    engine.evaluate(NOW + 1)
    engine.evaluate(NOW + 2)
    assert [(receiver, body["status"]) for receiver, body in outbox(database)] == [
        ("ops", "firing"),
        ("ops", "resolved"),
    ]
    assert engine.statuses() == []


def test_a_pending_alert_without_its_rule_goes_silently(database: Database, failing: Callable[..., None]) -> None:
    """Nobody was notified of it, so nobody is notified of its end."""
    failing()
    engine_on(database, rule_with(**{"for": 60})).evaluate(NOW)
    engine_on(database).evaluate(NOW + 1)
    assert outbox(database) == []
    assert database.connection().execute("SELECT count(*) FROM alert_state").fetchone()[0] == 0


def test_of_two_tiers_the_one_with_more_samples_speaks(
    database: Database, add_score: AddScore, failing: Callable[..., None]
) -> None:
    """After a judge moved to an LLM, the window's larger part decides, and labels say which."""
    for _ in range(25):
        add_score(database, "pass", NOW, tier="local")
    failing(tier="llm")
    engine_on(database, rule_with()).evaluate(NOW)
    [(_, payload)] = outbox(database)
    assert payload["commonLabels"]["tier"] == "llm"


def test_state_and_notification_are_one_transaction(database: Database, failing: Callable[..., None]) -> None:
    """If the notification cannot be written, the alert does not count as firing either."""
    failing()
    with database.transaction() as connection:
        connection.execute("ALTER TABLE outbox RENAME TO elsewhere")
    engine = engine_on(database, rule_with())
    with pytest.raises(sqlite3.OperationalError, match="outbox"):
        engine.evaluate(NOW)
    assert engine.statuses() == []
    with database.transaction() as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO outbox")
    engine.evaluate(NOW + 1)
    assert [body["status"] for _, body in outbox(database)] == ["firing"]
