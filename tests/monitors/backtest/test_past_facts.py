"""Rules that compare a fact: a replay of what is kept against what the engine found at the time."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import MINUTE, Request, Requests
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS, AlertEngine
from qualitrace_monitors.alerts.kinds.burn_rates import AGAIN_SECONDS
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.notify.payload import Links
from support.replays import found_at_the_time, found_later, replayed

START = 1_700_000_000.0
"""A moment at which the rules look at what came."""
HOUR, DAY = 3600.0, 86_400.0
AddScore = Callable[..., str]


def rules_of(**whens: str | dict[str, Any]) -> list[AlertRule]:
    """Make rules that notify `ops`."""
    made = {name: {"when": when} if isinstance(when, str) else when for name, when in whens.items()}
    return [AlertRule.model_validate({"name": name, "notify": ["ops"], **options}) for name, options in made.items()]


def engine_on(database: Database, rules: list[AlertRule]) -> AlertEngine:
    return AlertEngine(rules, database, Estimator(database), Links("http://127.0.0.1:9464"))


def put(database: Database, at: float, *, error: bool = False, usd: float = 0.0, service: str = "shop") -> None:
    request = Request(
        trace_id="tr-1", service=service, session="", error=error, seconds=1.0, first_token=None, tokens=0.0, usd=usd,
        slices={},
    )  # fmt: skip
    with database.transaction() as connection:
        Requests.put(connection, [request], at, one_by_one=False)


def judge_again(database: Database, trace_id: str, label: str, at: float) -> None:
    """Let late spans change a trace's verdict."""
    with database.transaction() as connection:
        row = connection.execute("SELECT * FROM score WHERE trace_id = ?", (trace_id,)).fetchone()
        values: dict[str, Any] = {field.name: row[field.name] for field in fields(ScoreRow)}
        replace(ScoreRow(**values), label=label, scored_at=at).save(connection)


@pytest.mark.slow
def test_silence_and_error_budgets_are_replayed_from_scores(
    database: Database, add_score: AddScore, tmp_path: Path
) -> None:
    """When it was at the time, also with `for`, tiers, late scores and traces that are judged again."""
    judged = {"judge": "groundedness"}
    rules = rules_of(
        silent=judged | {"when": "no_scores for 2m"},
        patient=judged | {"when": "no_scores for 2m", "for": "1m", "keep_firing_for": "40s"},
        unasked=judged | {"when": "no_scores for 10m", "tier": "llm"},
        budget=judged | {"when": "slo 50% over 30d", "tier": "local", "service": "sh*"},
        urgent=judged | {"when": "slo 90% over 7d", "tier": "local"},
    )
    engine = engine_on(database, rules)
    now, failed = START, list[str]()
    for number in range(900):
        now += EVALUATION_SECONDS
        bad, quiet = 120 < number < 330, 400 < number < 450 or number > 840
        if number % 2 and not quiet:
            tier = "llm" if number % 7 == 1 and not 100 < number < 300 else "local"
            label = "fail" if bad else "pass"
            trace_id = add_score(
                database, label, now - 1, completed_at=now - 90, tier=tier, weight=float(number % 3 != 0)
            )
            failed += [trace_id] if bad else []
        if number == 700:
            for trace_id in failed[:20]:
                judge_again(database, trace_id, "pass", now - 2)
        if number % 10 == 0:
            add_score(database, "pass", now - 1, service="faq")
        engine.evaluate(now)
    found, again = found_at_the_time(database), found_later(replayed(database, tmp_path, rules, now).courses)
    exact = {"silent", "patient", "unasked"}
    assert [each for each in again if each[1] in exact] == [each for each in found if each[1] in exact]
    assert [key for *key, _ in again] == [key for *key, _ in found]
    late = [abs(later - at) for (*_, later), (*_, at) in zip(again, found, strict=True)]
    assert max(late) <= AGAIN_SECONDS  # error budgets are summed up so often
    assert {(state, name) for state, name, *_ in found} == {
        (state, rule.name) for rule in rules for state in ("firing", "resolved")
    }
    assert {service for *_, service, _ in found} == {"shop"}


@pytest.mark.slow
def test_rules_on_requests_are_replayed_to_the_minute(database: Database, tmp_path: Path) -> None:
    """Silence, costs and error budgets, from the sums that are kept."""
    rules = rules_of(silent="no_requests for 5m", dear="cost_per_hour > 3", budget="slo 50% over 30d")
    engine, now = engine_on(database, rules), START
    for number in range(1_300):
        now += EVALUATION_SECONDS
        if not 500 < number < 600:
            put(database, now - 1, error=200 < number < 490, usd=0.1 if number < 40 else 0.0)
        engine.evaluate(now)
    found = found_at_the_time(database)
    again = found_later(replayed(database, tmp_path, rules, now).courses)
    assert [key for *key, _ in again] == [key for *key, _ in found]
    assert {(state, name) for state, name, *_ in found} == {
        (state, rule.name) for rule in rules for state in ("firing", "resolved")
    }
    late = [later - at for (*_, later), (*_, at) in zip(again, found, strict=True)]
    assert min(late) >= -AGAIN_SECONDS
    assert max(late) <= MINUTE + AGAIN_SECONDS


def test_sums_by_the_hour_say_what_hours_cost_and_not_who_was_silent(database: Database, tmp_path: Path) -> None:
    """Of days ago costs are known to the hour; silence is replayed where minutes are known."""
    rules = rules_of(dear="cost_per_hour > 3", silent="no_requests for 15m")
    until = START + 2 * DAY
    for minute in range(0, 2 * 24 * 60, 5):
        hour = minute // 60
        if hour != 15:  # a silent hour
            put(database, START + 60 * minute, usd=1.0 if hour == 10 else 0.1)
    with database.transaction() as connection:
        Requests.prune(connection, until)
    found = found_later(replayed(database, tmp_path, rules, until).courses)
    assert [(state, name, service) for state, name, service, _ in found] == [
        ("firing", "dear", "shop"),
        ("resolved", "dear", "shop"),
    ]
    late = [at - (START + hours * HOUR) for (*_, at), hours in zip(found, (10, 12), strict=True)]
    assert max(map(abs, late)) <= HOUR


@pytest.mark.parametrize(
    ("silent", "expected"),
    [(0.0, []), (2 * HOUR, [("firing", 0.0)]), (9 * DAY, [])],
    ids=["heard", "silent", "shut down"],
)
def test_who_was_silent_before_is_silent_when_the_replay_begins(
    silent: float, expected: list[tuple[str, float]], database: Database, tmp_path: Path
) -> None:
    """What came before the minutes that are known is not news, and who left a week ago is not expected."""
    rules = rules_of(silent="no_requests for 30m")
    until = START + 12 * DAY
    begin = (until - 26 * HOUR) // HOUR * HOUR
    last = begin - silent if silent else until
    for quarter in range(int((last - START) / 900)):
        put(database, START + 900 * quarter)
    with database.transaction() as connection:
        Requests.prune(connection, until)
    found = found_later(replayed(database, tmp_path, rules, until).courses)
    assert [(state, at - begin) for state, *_, at in found] == expected
