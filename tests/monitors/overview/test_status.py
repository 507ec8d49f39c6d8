"""`GET /status.json`: what commands read."""

from collections.abc import Callable

import pytest

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import Request, Requests
from support.web import NOW, WebStand

OpenWeb = Callable[..., WebStand]
RULE = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9"}


def put_requests(database: Database, service: str, count: int, errors: int = 0, seconds: float = 2.0) -> None:
    with database.transaction() as connection:
        requests = [
            Request(
                trace_id=f"tr-{number}", service=service, session="", error=number < errors, seconds=seconds,
                first_token=None, tokens=10, usd=0.01, slices={},
            )
            for number in range(count)
        ]  # fmt: skip
        Requests.put(connection, requests, NOW - 90, one_by_one=False)


def test_services_come_with_quality_now_and_before_and_what_they_do(
    database: Database, add_scores: Callable[..., None], web: WebStand
) -> None:
    """The last hour's rate with its interval beside the day's before, and requests, errors, latency and cost."""
    add_scores(database, [True] * 3 + [False], NOW - 60)
    add_scores(database, [True] * 50, NOW - 5 * 3600)
    put_requests(database, "shop", 20, errors=5)
    found = web.get("/status.json").json()
    (service,) = found["services"]
    (judge,) = service["judges"]
    assert (service["service"], service["requests"], service["errors"]) == ("shop", 20, 5)
    assert service["usd"] == pytest.approx(0.2)
    assert 2 / 1.5 < service["p95_seconds"] < 2 * 1.5
    assert (judge["now"]["pass_rate"], judge["now"]["samples"]) == (0.75, 4)
    assert judge["now"]["pass_rate_interval"][0] < 0.75 < judge["now"]["pass_rate_interval"][1]
    assert (judge["before"]["pass_rate"], judge["before"]["samples"]) == (1.0, 50)
    assert found["format"] == 1


def test_each_score_is_either_now_or_before(database: Database, add_scores: Callable[..., None], web: WebStand) -> None:
    """Those of the minute in which the last hour begins are counted once."""
    for seconds in (3600, 3600 - 59, 3601, 3661):
        add_scores(database, [True], NOW - seconds)
    (judge,) = web.get("/status.json").json()["services"][0]["judges"]
    assert (judge["now"]["samples"], judge["before"]["samples"]) == (2, 2)


def test_the_worst_service_comes_first(database: Database, add_scores: Callable[..., None], open_web: OpenWeb) -> None:
    """One with an alert, then those whose interval lies lowest against the threshold; few scores prove little."""
    for service, passes in (("good", 40), ("few", 0), ("bad", 20), ("firing", 5)):
        failed = 1 if service == "few" else 40 - passes
        add_scores(database, [True] * passes + [False] * failed, NOW - 60, service=service)
    web = open_web(alerts=[RULE, {**RULE, "name": "low-here", "service": "firing"}])
    web.alerts.evaluate(NOW)
    found = web.get("/status.json").json()
    names = [service["service"] for service in found["services"]]
    firing = {alert["service"] for alert in found["alerts"]}
    assert firing == {"bad", "firing"}
    assert names == ["firing", "bad", "few", "good"]
    assert found["services"][0]["judges"][0]["threshold"] == 0.9
    only = web.get("/status.json?service=FI").json()["services"]
    assert [service["service"] for service in only] == ["firing"]


def test_an_alert_says_since_when_and_what_changed(
    database: Database, add_scores: Callable[..., None], open_web: OpenWeb
) -> None:
    """With the release that explains it, as its notification said, and the page that shows more."""
    web = open_web(alerts=[RULE])
    add_scores(database, [True] * 200, NOW - 7200, release="1.4.1")
    web.alerts.evaluate(NOW - 7200)
    add_scores(database, [True] * 30, NOW - 60, release="1.4.1")
    add_scores(database, [False] * 40, NOW - 60, release="1.5.0")
    web.alerts.evaluate(NOW)
    (alert,) = web.get("/status.json").json()["alerts"]
    assert (alert["rule"], alert["state"], alert["since"]) == ("low", "firing", NOW)
    assert (alert["before"]["value"], alert["before"]["samples"]) == (1.0, 200)
    assert alert["before"]["interval"][0] > 0.95
    assert alert["change"]["mean"] < 0.7
    assert "Release 1.5.0 explains" in alert["explanation"]
    assert alert["path"].startswith("service/shop/judge/groundedness?from=20")


def test_a_firing_alert_dates_from_when_it_fired(
    database: Database, add_scores: Callable[..., None], open_web: OpenWeb
) -> None:
    """As `alerts list` and the notification date it, not from when its condition was established."""
    web = open_web(alerts=[RULE | {"for": "10s"}])
    add_scores(database, [False] * 40, NOW - 60)
    found: list[tuple[str, float]] = []
    for at in (NOW, NOW + 5, NOW + 10):
        web.alerts.evaluate(at)
        (alert,) = web.get("/status.json").json()["alerts"]
        found.append((alert["state"], alert["since"]))
    assert found == [("pending", NOW), ("pending", NOW), ("firing", NOW + 10)]
