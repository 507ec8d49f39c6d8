"""What the engine keeps, reports and forgets: services, tiers, rules that vanish, notifications."""

import json
import logging
import re
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts import new_scores
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
AddScore = Callable[..., str]
AddScores = Callable[..., None]


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


def test_scores_do_not_wait_for_a_rule(database: Database, failing: Callable[..., None]) -> None:
    """Without any rule they are taken as they come; a session, too, and intervals since a release rest on them."""
    failing(release="2")
    failing(session="a", release="2")
    engine = engine_on(database)
    engine.evaluate(NOW)
    engine.evaluate(NOW + 1_000)
    assert not database.rows("SELECT 1 FROM new_score UNION ALL SELECT 1 FROM open_session")
    assert [(since.release, since.values) for since in Estimator(database).sequences()] == [("2", 32)]


def test_each_service_has_its_own_alert(database: Database, add_score: AddScore, failing: Callable[..., None]) -> None:
    """Without `service` a rule follows every service; with it, that one alone."""
    failing(service="shop")
    for _ in range(30):
        add_score(database, "pass", NOW, service="faq")
    engine = engine_on(database, rule_with(), rule_with(name="shop-only", service="shop"))
    engine.evaluate(NOW)
    found = [(rule.name, status.service, status.state) for rule, status in engine.statuses()]
    assert found == [("low", "faq", "inactive"), ("low", "shop", "firing"), ("shop-only", "shop", "firing")]


def test_a_rule_watches_the_traffic_that_it_matches(database: Database, failing: Callable[..., None]) -> None:
    """By globs of services and the columns of scores; a rule on a release says nothing about the rest of a service."""
    failing(service="shop-eu", release="2.0", route="/ask")
    failing(service="shop-us", release="1.9", route="/ask")
    failing(service="bank", release="2.1", route="/pay")
    matches = {
        "shops": {"service": "shop-*"},
        "two": {"match": {"release": "2.*"}},
        "asked": {"service": "shop-*", "match": {"service.version": ["2.*", "3.*"], "route": "/ask"}},
        "none": {"match": {"service": "bank", "environment": "*"}},
    }
    engine = engine_on(database, *(rule_with(name=name, **options) for name, options in matches.items()))
    engine.evaluate(NOW)
    fired: dict[str, list[str]] = {}
    for rule, status in engine.statuses():
        if status.state == "firing":
            fired.setdefault(rule.name, []).append(status.service)
    assert fired == {"shops": ["shop-eu", "shop-us"], "two": ["bank", "shop-eu"], "asked": ["shop-eu"]}
    described = {body["commonLabels"]["alertname"]: body["alerts"][0] for _, body in outbox(database)}
    assert "Worst answers:\n- " in described["asked"]["annotations"]["description"]


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"match": {"session": "x"}}, "known by service, model, .* alone .got 'session'"),
        ({"match": {"app.plan": "x"}}, "got 'app.plan'"),
        ({"match": {"release": 1.5}}, "match.release: must be a name"),
        ({"judge": None, "when": "no_scores for 15m", "match": {"release": "2"}}, "known by service alone"),
    ],
)
def test_a_rule_cannot_match_what_its_scores_do_not_know(options: dict[str, Any], mistake: str) -> None:
    """What would never hold is a mistake, with its place."""
    with pytest.raises(ConfigError, match=mistake):
        parse_config({"alerts": [{"name": "low", "judge": "safety", "when": "pass_rate < 0.9"} | options]}, Config)


def test_a_status_shows_the_estimate_of_the_last_evaluation(database: Database, add_score: AddScore) -> None:
    """Value, interval and samples are the estimator's for the rule's quantity and window."""
    for label in ["pass"] * 20 + ["fail"] * 10:
        add_score(database, label, NOW)
    add_score(database, "fail", NOW - 500)
    engine = engine_on(database, rule_with(when="pass_rate < 0.5", window=300))
    engine.evaluate(NOW)
    [(_, status)] = engine.statuses()
    [estimate] = Estimator(database).estimates(NOW, 300)
    assert (status.value, status.interval, status.samples) == (20 / 30, estimate.pass_rate_interval, 30)
    engine.evaluate(NOW + 10_000)
    assert engine.statuses() == []


def test_the_firing_notification_says_what_fell_and_where(database: Database, add_score: AddScore) -> None:
    """Labels, a sentence with the numbers, and the three worst answers with links and rationales are in it."""
    for number in range(1100):
        add_score(database, "fail" if number % 50 == 7 else "pass", NOW - 7200)
    engine_on(database, rule_with()).evaluate(NOW - 7200)
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
    found = re.fullmatch(
        r"groundedness of shop fell: pass rate (0\.\d\d) in about (\d+) answers since (1970-01-12 1\d:\d\d UTC), "
        r"was 0\.98 \(threshold 0\.9, false alarms at most 5% per 30d\)",
        summary,
    )
    assert found, summary
    assert float(found[1]) < 0.2
    assert 4 <= int(found[2]) <= 23
    lines = payload["commonAnnotations"]["description"].splitlines()
    assert lines[1:3] == ["The alert's page: http://127.0.0.1:9464/alerts/event/1", "Worst answers:"]
    assert len(lines) == 3 + 2 * 3
    link = f"http://127.0.0.1:9464/trace/tr-{1101:032x}"
    assert lines[3:5] == [f"- {link} scored 0.10", "  why: sentence 0 has no source"]


def test_a_long_rationale_is_cut_and_each_answer_has_an_address(database: Database, add_score: AddScore) -> None:
    """A description stays readable: rationales end after 300 characters; each answer has its page."""
    trace_ids = {add_score(database, "fail", NOW, rationale="x" * 5000) for _ in range(20)}
    engine_on(database, rule_with()).evaluate(NOW)
    [(_, payload)] = outbox(database)
    found = re.findall(r"^- (\S+) scored 0.00\n  why: (.*)$", payload["commonAnnotations"]["description"], re.M)
    assert len(found) == 3
    for trace_id, rationale in found:
        assert trace_id.rpartition("/trace/")[2] in trace_ids
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
    for _ in range(60):
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
    assert resolved["commonAnnotations"]["summary"].startswith(
        "groundedness of shop recovered: pass rate 1.00 over the last "
    )


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


@pytest.mark.parametrize(("tier", "states"), [(None, ["firing"]), ("llm", ["firing"]), ("local", ["inactive"])])
def test_of_two_tiers_the_model_speaks(
    tier: str | None, states: list[str], database: Database, add_score: AddScore, failing: Callable[..., None]
) -> None:
    """Of a cascade the model's few verdicts count, however many local ones there are, unless the rule names the tier."""
    failing(tier="llm")
    for _ in range(200):
        add_score(database, "pass", NOW, tier="local")
    engine = engine_on(database, rule_with(tier=tier))
    engine.evaluate(NOW)
    assert [status.state for _, status in engine.statuses()] == states
    tiers = [payload["commonLabels"]["tier"] for _, payload in outbox(database)]
    assert tiers == (["llm"] if states == ["firing"] else [])


def test_another_version_of_the_judge_begins_anew(
    database: Database, add_score: AddScore, caplog: pytest.LogCaptureFixture
) -> None:
    """Other thresholds make other pass rates: nobody is called because the judge changed, and the log says so."""
    caplog.set_level(logging.INFO)
    engine = engine_on(database, rule_with())
    for _ in range(8):
        add_score(database, "fail", NOW, version="1")
    engine.evaluate(NOW)
    for _ in range(8):
        add_score(database, "fail", NOW + 1, version="2")
    engine.evaluate(NOW + 1)
    assert [status.state for _, status in engine.statuses()] == ["inactive"]
    assert "the judge is local 2 now, was local 1" in caplog.text
    for _ in range(8):
        add_score(database, "fail", NOW + 2, version="2")
    engine.evaluate(NOW + 2)
    assert [status.state for _, status in engine.statuses()] == ["firing"]


def test_sessions_of_the_version_before_do_not_begin_anew(
    database: Database, add_score: AddScore, caplog: pytest.LogCaptureFixture
) -> None:
    """They end among the answers of the new version, whose evidence stays."""
    caplog.set_level(logging.INFO)
    engine = engine_on(database, rule_with())
    for number in range(10):
        add_score(database, "fail", NOW + 10 * number, session=f"user {number}", version="1")
    for number in range(20):
        at = NOW + 210 + 10 * number
        add_score(database, "fail", at, version="2")
        engine.evaluate(at)  # from 300 s on a session ends each time
    assert [status.state for _, status in engine.statuses()] == ["firing"]
    assert "the judge is local 1 now" not in caplog.text


def test_no_time_passes_twice_where_sessions_and_single_answers_mix(database: Database, add_scores: AddScores) -> None:
    """A session bets long after its last answer. The evidence of values at the threshold is the time that passed."""
    rule = rule_with(when="mean_score < 0.5", false_alarms="5% per 1d", session_silence="50m")
    engine = engine_on(database, rule)
    for step in range(60):
        at = NOW + 100 * step
        add_scores(database, [True], at, value=0.5)
        add_scores(database, [True], at, value=0.5, session=f"user {step}")
        engine.evaluate(at)
    [watch] = engine.watches(NOW + 6000)
    evidence, _ = watch.measured
    assert 0 < evidence <= 6000 / 86_400


def test_a_new_version_does_not_resolve_what_the_old_one_found(
    database: Database, add_score: AddScore, failing: Callable[..., None]
) -> None:
    """It has to find the recovery itself."""
    failing()
    engine = engine_on(database, rule_with())
    engine.evaluate(NOW)
    add_score(database, "pass", NOW + 1, version="2")
    engine.evaluate(NOW + 1)
    assert [status.state for _, status in engine.statuses()] == ["firing"]
    for _ in range(60):
        add_score(database, "pass", NOW + 2, version="2")
    engine.evaluate(NOW + 2)
    assert [status.state for _, status in engine.statuses()] == ["inactive"]


def test_an_alert_that_fires_is_not_resolved_by_another_threshold(
    database: Database, add_score: AddScore, failing: Callable[..., None]
) -> None:
    """The rule's new wording begins anew, and the recovery has to be shown by it."""
    failing()
    engine_on(database, rule_with()).evaluate(NOW)
    add_score(database, "pass", NOW + 1)
    engine = engine_on(database, rule_with(when="pass_rate < 0.8"))
    engine.evaluate(NOW + 1)
    assert [status.state for _, status in engine.statuses()] == ["firing"]
    for _ in range(60):
        add_score(database, "pass", NOW + 2)
    engine.evaluate(NOW + 2)
    assert [status.state for _, status in engine.statuses()] == ["inactive"]


def test_a_session_bets_once(database: Database, add_score: AddScore) -> None:
    """Nineteen failing answers of one user are one piece of evidence; those of as many users are an incident."""
    engine = engine_on(database, rule_with())
    for _ in range(19):
        add_score(database, "fail", NOW, session="one user")
    engine.evaluate(NOW)
    engine.evaluate(NOW + 700)
    assert [status.state for _, status in engine.statuses()] == ["inactive"]
    for number in range(19):
        add_score(database, "fail", NOW + 800, session=f"user {number}")
    engine.evaluate(NOW + 800)
    assert [status.state for _, status in engine.statuses()] == ["inactive"]  # they may go on
    engine.evaluate(NOW + 1200)
    assert [status.state for _, status in engine.statuses()] == ["firing"]


def test_a_session_that_does_not_end_bets_when_it_is_full(database: Database, add_score: AddScore) -> None:
    """A bot's endless session hides no incident."""
    for _ in range(20 * 20):
        add_score(database, "fail", NOW, session="bot")
    engine = engine_on(database, rule_with())
    engine.evaluate(NOW)
    assert [status.state for _, status in engine.statuses()] == ["firing"]


@pytest.mark.parametrize("sessions", [1, 400])
def test_an_evaluation_takes_all_that_has_come(
    database: Database, add_score: AddScore, monkeypatch: pytest.MonkeyPatch, sessions: int
) -> None:
    """It takes several transactions for many scores, also if most of them only go into sessions."""
    monkeypatch.setattr(new_scores, "AT_ONCE", 7)
    for number in range(400):
        add_score(database, "fail", NOW, session=f"user {number % sessions}")
    engine = engine_on(database, rule_with())
    engine.evaluate(NOW + 400)
    left = database.connection().execute("SELECT count(*) FROM new_score").fetchone()[0]
    assert (left, [status.state for _, status in engine.statuses()]) == (0, ["firing"])


def test_scores_that_were_picked_after_the_fact_do_not_bet(database: Database, add_score: AddScore) -> None:
    """Traces are judged because people complained: they say nothing about the others."""
    for _ in range(100):
        add_score(database, "fail", NOW, weight=0.0)
    engine = engine_on(database, rule_with())
    engine.evaluate(NOW)
    assert [status.state for _, status in engine.statuses()] == ["inactive"]


def test_services_can_share_a_promise(database: Database, add_score: AddScore) -> None:
    """With `share: rule` each further service needs more evidence; alone each needs the same."""
    needed: dict[str, list[int]] = {}
    for share in ("service", "rule"):
        engine = engine_on(database, rule_with(name=share, share=share))
        for service in ("a", "b", "c", "d"):
            for count in range(1, 30):
                add_score(database, "fail", NOW, service=f"{share}-{service}")
                engine.evaluate(NOW)
                if any(
                    status.service == f"{share}-{service}" and status.state == "firing"
                    for _, status in engine.statuses()
                ):
                    needed.setdefault(share, []).append(count)
                    break
    assert len(set(needed["service"])) == 1
    assert needed["rule"] == sorted(needed["rule"])
    assert needed["rule"][-1] > needed["service"][0]


@pytest.mark.parametrize(("label", "fires"), [("unsure", True), ("pass", False)])
def test_unsure_verdicts_can_be_watched(label: str, fires: bool, database: Database, add_score: AddScore) -> None:
    """For a pass rate they count as passes, so that a rule of their own shows what they may hide."""
    for _ in range(40):
        add_score(database, label, NOW)
    engine = engine_on(database, rule_with(name="unsure", when="unsure_rate > 0.3"), rule_with())
    engine.evaluate(NOW)
    states = {status.rule: status.state for _, status in engine.statuses()}
    assert states == {"unsure": "firing" if fires else "inactive", "low": "inactive"}


def test_a_service_that_was_silent_for_a_period_begins_anew(database: Database, failing: Callable[..., None]) -> None:
    """What it showed a month ago is not a reason to call anybody, and its row is gone."""
    failing()
    engine = engine_on(database, rule_with(false_alarms="5% per 1d"))
    engine.evaluate(NOW)
    engine.evaluate(NOW + 80_000)
    assert database.connection().execute("SELECT count(*) FROM alert_watch").fetchone()[0] == 1
    engine.evaluate(NOW + 90_000)
    assert database.connection().execute("SELECT count(*) FROM alert_watch").fetchone()[0] == 0


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
