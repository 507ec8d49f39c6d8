"""Rules on every request: error rates and percentiles, with the promise of `false_alarms`."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_monitors.alerts import new_requests
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_700_000_000.0


def engine_on(database: Database, *conditions: str, **options: Any) -> AlertEngine:
    rules = [
        AlertRule.model_validate({"name": when.split(" ")[0], "when": when, "notify": ["ops"], **options})
        for when in conditions
    ]
    return AlertEngine(rules, database, Estimator(database), Links("http://127.0.0.1:9464"))


def put_each(database: Database, at: float, changes: Iterable[dict[str, Any]]) -> None:
    """Write a request for each; what is not given is as of a good one."""
    good: dict[str, Any] = {"trace_id": "tr-1", "service": "shop", "session": "", "error": False, "seconds": 1.0}
    good |= {"first_token": 0.2, "tokens": 10, "usd": 0.0, "slices": {}}
    rows = [Request(**(good | own)) for own in changes]
    with database.transaction() as connection:
        Requests.put(connection, rows, at)


def put(database: Database, at: float, errors: Iterable[bool], service: str = "shop", **changes: Any) -> None:
    """Write a request for each: whether it fails, and what else is the same for all."""
    put_each(database, at, [{"service": service, "error": bool(error), **changes} for error in errors])


def states(engine: AlertEngine) -> dict[tuple[str, str], str]:
    return {(status.rule, status.service): status.state for _, status in engine.statuses()}


def summaries(database: Database) -> list[str]:
    rows = database.connection().execute("SELECT body FROM outbox ORDER BY sequence")
    return [json.loads(row["body"])["commonAnnotations"]["summary"] for row in rows]


def test_the_notification_names_the_latest_bad_traces(database: Database) -> None:
    """Three of them, so that somebody can look at once; good ones are not among them."""
    engine = engine_on(database, "error_rate > 10%")
    put_each(database, NOW, [{"error": number % 2 == 0, "trace_id": f"tr-{number}"} for number in range(101)])
    engine.evaluate(NOW)
    [row] = database.rows("SELECT body FROM outbox")
    lines = json.loads(row["body"])["commonAnnotations"]["description"].splitlines()
    assert lines[2] == "Latest of them:"
    assert [line.rpartition("tr-")[2] for line in lines[3:]] == ["96", "98", "100"]


def draws(rate: float, count: int, seed: int = 1) -> list[bool]:
    return [bool(drawn) for drawn in np.random.default_rng(seed).random(count) < rate]


def test_an_error_rate_fires_and_resolves(database: Database) -> None:
    """Of each service alone; the text has the rate, since when, what it was, and the promise."""
    engine = engine_on(database, "error_rate > 5%")
    put(database, NOW - 600, draws(0.01, 1_200))
    put(database, NOW - 600, draws(0.02, 300), "faq")
    engine.evaluate(NOW - 600)
    put(database, NOW, draws(0.5, 60))
    engine.evaluate(NOW)
    assert states(engine) == {("error_rate", "shop"): "firing", ("error_rate", "faq"): "inactive"}
    put(database, NOW + 600, draws(0.0, 400))
    engine.evaluate(NOW + 600)
    assert states(engine)["error_rate", "shop"] == "inactive"
    fired, resolved = summaries(database)
    assert fired.startswith("requests of shop fail: error rate 0.")
    assert " requests since 2023-11-14 22:" in fired
    assert fired.endswith("was 0.01 (threshold 0.05, false alarms at most 5% per 30d)")
    assert resolved.startswith("requests of shop succeed again: error rate 0.")


@pytest.mark.parametrize(
    ("quantity", "column"), [("p95_duration", "seconds"), ("p95_time_to_first_token", "first_token")]
)
def test_a_percentile_is_a_share_of_slow_requests(quantity: str, column: str, database: Database) -> None:
    """Of 4 % slow requests the 95th percentile is below, of 20 % above, whatever the slow ones take."""
    engine = engine_on(database, f"{quantity} > 5s")
    for at, slow, seed in ((NOW, 0.04, 1), (NOW + 60, 0.2, 2)):
        put_each(database, at, [{column: 5.01 if is_slow else 4.99} for is_slow in draws(slow, 400, seed)])
        engine.evaluate(at)
        assert states(engine) == {(quantity, "shop"): "inactive" if slow < 0.05 else "firing"}
    words = quantity.replace("_", " ", 1).replace("_", " ")
    [summary] = summaries(database)
    assert summary.startswith(f"{words} of shop is above 5s: ")
    assert summary.endswith("took longer (5% may, false alarms at most 5% per 30d)")


def test_a_trace_without_the_value_says_nothing(database: Database) -> None:
    """Traces of calls that do not stream have no first token: they are neither fast nor slow."""
    engine = engine_on(database, "p50_time_to_first_token > 1s")
    put(database, NOW, [False] * 500, first_token=None)
    put(database, NOW, [False] * 60, first_token=3.0)
    engine.evaluate(NOW)
    assert states(engine) == {("p50_time_to_first_token", "shop"): "firing"}


def test_a_rule_may_be_about_a_part_of_the_traffic(database: Database) -> None:
    """The errors of one route do not matter to a rule on another, also within a session."""
    engine = engine_on(database, "error_rate > 10%", match={"route": "/ask*"})
    for number in range(60):
        put(database, NOW, [True], slices={"route": "/admin"}, session=f"user {number}")
        put(database, NOW, [False], slices={"route": "/ask"}, session=f"user {number}")
        put(database, NOW, [True], slices={"route": "/admin"})
    engine.evaluate(NOW + 400)
    assert summaries(database) == []
    put(database, NOW + 500, [True] * 60, slices={"route": "/ask/again"})
    engine.evaluate(NOW + 500)
    assert states(engine) == {("error_rate", "shop"): "firing"}


def test_a_session_bets_once(database: Database) -> None:
    """Nineteen failures of one user are one piece of evidence; those of as many users are an incident."""
    engine = engine_on(database, "error_rate > 10%")
    put(database, NOW, [True] * 19, session="one")
    engine.evaluate(NOW)
    engine.evaluate(NOW + 400)
    assert states(engine) == {("error_rate", "shop"): "inactive"}
    for number in range(19):
        put(database, NOW + 500, [True], session=f"user {number}")
    engine.evaluate(NOW + 500)
    assert states(engine) == {("error_rate", "shop"): "inactive"}  # they may go on
    engine.evaluate(NOW + 900)
    assert states(engine) == {("error_rate", "shop"): "firing"}


def test_an_evaluation_takes_all_that_has_come(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several transactions, singles and sessions."""
    monkeypatch.setattr(new_requests, "AT_ONCE", 7)
    put(database, NOW, [False] * 40)
    for number in range(20):
        put(database, NOW, [False], session=f"user {number}")
    engine_on(database, "error_rate > 10%").evaluate(NOW + 400)
    assert database.rows("SELECT count(*) FROM new_request")[0][0] == 0


def test_a_clock_that_is_set_back_holds_nothing_up(database: Database) -> None:
    """Two hours earlier by the clock, requests still fire and resolve, in sessions and alone."""
    engine = engine_on(database, "error_rate > 10%")
    put(database, NOW, [False] * 50)
    put(database, NOW, [False], session="open")
    engine.evaluate(NOW, 0.0)
    for fails, state in ((True, "firing"), (False, "inactive")):
        put(database, NOW - 7200, [fails] * 60)
        engine.evaluate(NOW - 7200, 60.0)
        assert states(engine) == {("error_rate", "shop"): state}
    assert database.rows("SELECT count(*) FROM new_request")[0][0] == 0


@pytest.mark.slow
def test_a_steady_rate_at_the_threshold_keeps_the_promise(database: Database) -> None:
    """Over 40 services at just 5 % errors, for 1,500 requests each, at most a few alarms: 5 % are promised."""
    engine = engine_on(database, "error_rate > 5%", false_alarms="5% per 10h")
    random = np.random.default_rng(3)
    for step in range(30):
        at = NOW + step * 1200
        for service in range(40):
            put(database, at, random.random(50) < 0.05, f"s{service}")
        engine.evaluate(at)
    assert sum("fail" in summary for summary in summaries(database)) <= 5
