"""Rules by error budget: the four pairs of windows, severities, and what is left."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_700_000_040.0  # the begin of a minute
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
AddScores = Callable[..., None]


def engine_on(database: Database, when: str = "slo 99% over 30d", **options: Any) -> AlertEngine:
    rule = AlertRule.model_validate({"name": "budget", "when": when, "notify": ["ops"], **options})
    return AlertEngine([rule], database, Estimator(database), Links("http://127.0.0.1:9464"))


def alerts(database: Database) -> Iterator[tuple[str, str, str]]:
    """Yield status, severity and summary of each notification."""
    for row in database.connection().execute("SELECT body FROM outbox ORDER BY sequence"):
        [alert] = json.loads(row["body"])["alerts"]
        yield alert["status"], alert["labels"]["severity"], alert["annotations"]["summary"]


def put(database: Database, start: float, seconds: float, errors: float, service: str = "shop") -> None:
    """Write a hundred requests every five minutes, of which a share fails."""
    with database.transaction() as connection:
        for number in range(int(seconds / 300)):
            rows = [
                Request(
                    trace_id="tr-1", service=service, session="", error=index < errors * 100, seconds=1.0,
                    first_token=None, tokens=0, usd=0, slices={},
                )
                for index in range(100)
            ]  # fmt: skip
            Requests.put(connection, rows, start + 300 * (number + 1), one_by_one=False)


@pytest.mark.parametrize(
    ("for_seconds", "errors", "severity", "shown"),
    [
        (HOUR, 0.2, "page", "over 1h, and 20.0 times over 5m (limit 14.4)"),
        (6 * HOUR, 0.08, "page", "over 6h, and 8.0 times over 30m (limit 6)"),
        (DAY, 0.04, "ticket", "over 1d, and 4.0 times over 2h (limit 3)"),
        (3 * DAY, 0.02, "ticket", "over 3d, and 2.0 times over 6h (limit 1)"),
        (3 * DAY, 0.01, None, ""),
        (HOUR / 4, 0.04, None, ""),
    ],
)
def test_each_pair_of_windows_fires_at_its_burn_rate(
    for_seconds: float, errors: float, severity: str | None, shown: str, database: Database
) -> None:
    """After three good days: by the most urgent pair that is too high, with its severity; a rate of 1 is none."""
    put(database, NOW - 4 * DAY, 4 * DAY - for_seconds, 0.0)
    put(database, NOW - for_seconds, for_seconds, errors)
    engine_on(database).evaluate(NOW)
    found = [*alerts(database)]
    if severity is None:
        assert found == []
    else:
        [(status, fired_severity, summary)] = found
        assert (status, fired_severity) == ("firing", severity)
        assert summary.startswith("shop burns its error budget too fast: ")
        assert shown in summary


def test_an_incident_that_is_over_pages_nobody(database: Database) -> None:
    """The long window still has it, and the short one shows that it ended."""
    put(database, NOW - 2 * HOUR, HOUR, 0.0)
    put(database, NOW - HOUR, HOUR / 3, 0.5)
    put(database, NOW - HOUR * 2 / 3, HOUR * 2 / 3, 0.0)
    engine_on(database).evaluate(NOW)
    [(_, severity, summary)] = alerts(database)
    assert severity == "ticket"  # somebody should look at it: much of the budget is gone all the same
    assert "(limit 3)" in summary


def test_what_is_left_is_said_and_a_recovery_resolves(database: Database) -> None:
    """Of 25,200 requests 252 may fail: 360 did."""
    engine = engine_on(database, keep_firing_for="1m")
    put(database, NOW - 20 * HOUR, 20 * HOUR, 0.0)
    engine.evaluate(NOW)
    put(database, NOW, HOUR, 0.3)
    engine.evaluate(NOW + HOUR)
    put(database, NOW + HOUR, 3 * DAY, 0.0)
    engine.evaluate(NOW + HOUR + 3 * DAY)
    engine.evaluate(NOW + HOUR + 3 * DAY + 90)
    (fired, severity, summary), (resolved, _, end) = alerts(database)
    assert (fired, severity, resolved) == ("firing", "page", "resolved")
    assert "the budget of 30d is overspent by 43%" in summary
    assert summary.endswith("(slo 0.99 over 30d, without a promise about false alarms)")
    assert end.startswith("shop burns its error budget at 0.0 times the rate that lasts for the period over 1h")


def test_a_ticket_that_becomes_urgent_pages(database: Database) -> None:
    """The ticket ends, and the page is an alert of its own, which is resolved as such."""
    put(database, NOW - 3 * DAY, 3 * DAY, 0.02)
    engine = engine_on(database)
    engine.evaluate(NOW)
    put(database, NOW, 2 * HOUR, 0.5)
    for number in range(3):
        engine.evaluate(NOW + 2 * HOUR + 60 * number)
    assert [(status, severity) for status, severity, _ in alerts(database)] == [
        ("firing", "ticket"),
        ("resolved", "ticket"),
        ("firing", "page"),
    ]
    put(database, NOW + 2 * HOUR, 4 * DAY, 0.0)
    engine.evaluate(NOW + 2 * HOUR + 4 * DAY)
    assert [(status, severity) for status, severity, _ in alerts(database)][3:] == [("resolved", "page")]


def test_a_severity_of_the_rule_holds_for_all_windows(database: Database) -> None:
    """A team that has one channel names it."""
    put(database, NOW - 3 * DAY, 3 * DAY, 0.02)
    engine = engine_on(database, severity="critical")
    engine.evaluate(NOW)
    put(database, NOW, 2 * HOUR, 0.5)
    engine.evaluate(NOW + 2 * HOUR)
    assert [(status, severity) for status, severity, _ in alerts(database)] == [("firing", "critical")]


def test_a_few_requests_burn_nothing(database: Database) -> None:
    """One failure among three requests is a burn rate of 33."""
    with database.transaction() as connection:
        for error in (True, False, False):
            row = Request(
                trace_id="tr-1", service="shop", session="", error=error, seconds=1.0, first_token=None, tokens=0,
                usd=0, slices={},
            )  # fmt: skip
            Requests.put(connection, [row], NOW - 60)
    engine_on(database).evaluate(NOW)
    assert [*alerts(database)] == []


def test_scores_have_error_budgets_too(database: Database, add_scores: AddScores) -> None:
    """By a judge's fails, weighted, of the most trusted tier; what is unsure is good."""
    for number in range(12):
        at = NOW - HOUR + 300 * number + 10
        add_scores(database, [True] * 5 + [False] * 5, at, tier="llm", inclusion_probability=0.5)
        add_scores(database, [True] * 50, at, tier="local")
        add_scores(database, [True] * 10, at, service="faq")
    engine_on(database, "slo 95% over 30d", judge="groundedness").evaluate(NOW)
    [(status, severity, summary)] = alerts(database)
    assert (status, severity) == ("firing", "page")
    assert summary.startswith("groundedness of shop burns its error budget too fast: 10.0 times the rate")


def test_windows_are_not_summed_up_at_each_evaluation(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are long, and change slowly."""
    put(database, NOW - HOUR, HOUR, 0.0)
    engine, calls = engine_on(database), list[float]()
    sums = Requests.sums

    def counted(*arguments: Any) -> Any:
        calls.append(arguments[1])
        return sums(*arguments)

    monkeypatch.setattr(Requests, "sums", staticmethod(counted))
    for number in range(12):
        engine.evaluate(NOW + 5 * number)
    assert len(calls) == 2 * 8  # two looks at eight windows
