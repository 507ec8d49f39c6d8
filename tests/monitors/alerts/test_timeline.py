"""How an alert's state follows the scores over time, with and without restarts."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
STEP, WINDOW = 100.0, 60.0
"""Each step of a timeline sees its own scores only."""

AddScore = Callable[..., str]
OpenDatabase = Callable[[Path], Database]
Step = tuple[int, int, str]
"""Passes, fails, the state expected after the evaluation."""

BAD, GOOD, NONE, FEW, MIXED = (0, 30), (60, 0), (0, 0), (5, 0), (25, 5)

TIMELINES: dict[str, tuple[dict[str, object], list[Step], list[str]]] = {
    "fires at once without `for`": ({}, [(*BAD, "firing")], ["firing"]),
    "stays quiet while quality is good": ({}, [(*GOOD, "inactive")] * 3, []),
    "notifies once however long it fires": ({}, [(*BAD, "firing")] * 4, ["firing"]),
    "waits for `for`": (
        {"for": 150},
        [(*BAD, "pending"), (*BAD, "pending"), (*BAD, "firing")],
        ["firing"],
    ),
    "a pending alert is dropped when quality is back": (
        {"for": 150},
        [(*BAD, "pending"), (*GOOD, "inactive"), (*BAD, "pending"), (*BAD, "pending")],
        [],
    ),
    "a pending alert does not need new scores": (
        {"for": 150},
        [(*BAD, "pending"), (*NONE, "pending"), (*NONE, "firing")],
        ["firing"],
    ),
    "a few scores establish nothing": ({}, [(0, 5, "inactive"), (0, 25, "firing")], ["firing"]),
    "a rate near the threshold establishes nothing": ({}, [(*MIXED, "inactive")], []),
    "evidence adds up over evaluations": ({}, [(1, 4, "inactive"), (1, 4, "inactive"), (2, 14, "firing")], ["firing"]),
    "resolves when quality recovered": (
        {},
        [(*BAD, "firing"), (*GOOD, "inactive"), (*GOOD, "inactive")],
        ["firing", "resolved"],
    ),
    "no data is no recovery": ({}, [(*BAD, "firing"), (*NONE, "firing"), (*NONE, "firing")], ["firing"]),
    "a few good answers are no recovery": ({}, [(*BAD, "firing"), (*FEW, "firing")], ["firing"]),
    "a rate on the bad side is no recovery": ({}, [(*BAD, "firing"), (*MIXED, "firing")], ["firing"]),
    "keeps firing for `keep_firing_for`": (
        {"keep_firing_for": 150},
        [(*BAD, "firing"), (*GOOD, "firing"), (*GOOD, "inactive")],
        ["firing", "resolved"],
    ),
    "`keep_firing_for` starts anew with each fall": (
        {"keep_firing_for": 150},
        [(*BAD, "firing"), (*GOOD, "firing"), (*BAD, "firing"), (*GOOD, "firing"), (*GOOD, "inactive")],
        ["firing", "resolved"],
    ),
    "fires again after it was resolved": (
        {},
        [(*BAD, "firing"), (*GOOD, "inactive"), (*BAD, "firing")],
        ["firing", "resolved", "firing"],
    ),
    "`>` fires above the threshold": (
        {"when": "pass_rate > 0.1"},
        [(*BAD, "inactive"), (*GOOD, "firing"), (0, 60, "inactive")],
        ["firing", "resolved"],
    ),
    "the mean score has thresholds too": (
        {"when": "mean_score < 0.5"},
        [(*GOOD, "inactive"), (*BAD, "firing"), (*GOOD, "inactive")],
        ["firing", "resolved"],
    ),
}


def rule_with(**options: object) -> AlertRule:
    """Make a rule that notifies `ops`."""
    defaults = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.9", "notify": ["ops"]}
    return AlertRule.model_validate({**defaults, "window": WINDOW, **options})


def engine_on(database: Database, rule: AlertRule) -> AlertEngine:
    """Make an engine with one rule."""
    return AlertEngine([rule], database, Estimator(database), Links("http://127.0.0.1:9464"))


def notified(database: Database) -> list[str]:
    """List the statuses of the notifications in the outbox, in order."""
    rows = database.connection().execute("SELECT body ->> '$.status' FROM outbox ORDER BY sequence")
    return [row[0] for row in rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the timeline keeps its state."""
    return tmp_path / "timeline.db"


@pytest.fixture(params=["one engine", "a restart before each step"])
def engines(
    request: pytest.FixtureRequest, path: Path, open_database: OpenDatabase
) -> Iterator[Callable[[AlertRule], AlertEngine]]:
    """Give the engine for the next step: always the same, or a new one on a newly opened database."""
    databases: list[Database] = []
    made: list[AlertEngine] = []

    def engine(rule: AlertRule) -> AlertEngine:
        if not made or request.param != "one engine":
            databases.append(open_database(path))
            made.append(engine_on(databases[-1], rule))
        return made[-1]

    yield engine
    for database in databases:
        database.close()


@pytest.mark.parametrize("name", TIMELINES)
def test_timeline(
    name: str,
    engines: Callable[[AlertRule], AlertEngine],
    path: Path,
    open_database: OpenDatabase,
    add_score: AddScore,
) -> None:
    """Each step's evidence leads to the state, and the whole to the notifications, that the table says."""
    options, steps, notifications = TIMELINES[name]
    database = open_database(path)
    for number, (passes, fails, expected) in enumerate(steps):
        now = NOW + number * STEP
        for label in ["pass"] * passes + ["fail"] * fails:
            add_score(database, label, now)
        engine = engines(rule_with(**options))
        engine.evaluate(now)
        states = [status.state for _, status in engine.statuses()]
        assert states == ([] if expected == "gone" else [expected]), f"at step {number}"
    assert notified(database) == notifications
    database.close()


def test_an_alert_stays_active_since_its_first_moment(database: Database, add_score: AddScore) -> None:
    """`active_since` is when the condition was first established, while pending and while firing."""
    engine = engine_on(database, rule_with(**{"for": 150}))
    for now in (NOW, NOW + 100, NOW + 200, NOW + 300):
        for _ in range(20):
            add_score(database, "fail", now)
        engine.evaluate(now)
        assert [status.active_since for _, status in engine.statuses()] == [NOW]
    assert [status.state for _, status in engine.statuses()] == ["firing"]


def test_a_clock_that_is_set_back_holds_nothing_up(database: Database, add_score: AddScore) -> None:
    """Two hours earlier by the clock, scores still fire and resolve."""
    engine = engine_on(database, rule_with())
    for _ in range(60):
        add_score(database, "pass", NOW)
    engine.evaluate(NOW)
    for labels, state in (("fail", "firing"), ("pass", "inactive")):
        for _ in range(60):
            add_score(database, labels, NOW - 7200)
        engine.evaluate(NOW - 7200)
        assert [status.state for _, status in engine.statuses()] == [state]


def test_judging_that_resumes_after_an_outage_alerts(database: Database, add_score: AddScore) -> None:
    """Scores of traces that were complete hours ago count when they come."""
    engine = engine_on(database, rule_with(window=60))
    for _ in range(30):
        add_score(database, "fail", NOW - 5 * 3600)
    engine.evaluate(NOW)
    assert [status.state for _, status in engine.statuses()] == ["firing"]


def test_a_receiver_that_a_rule_is_given_hears_of_what_fires(database: Database, add_score: AddScore) -> None:
    """Once, as of its beginning; and all that were told hear of the end, also the one that the rule lost."""
    for _ in range(20):
        add_score(database, "fail", NOW)
    engine_on(database, rule_with()).evaluate(NOW)
    later = engine_on(database, rule_with(notify=["chat"]))
    for step in (100, 200):
        later.evaluate(NOW + step)
    for _ in range(60):
        add_score(database, "pass", NOW + 300)
    later.evaluate(NOW + 300)
    rows = database.rows("SELECT receiver, body FROM outbox ORDER BY sequence")
    found = [(row["receiver"], alert) for row in rows for alert in json.loads(row["body"])["alerts"]]
    assert [(receiver, alert["status"]) for receiver, alert in found] == [
        ("ops", "firing"),
        ("chat", "firing"),
        ("ops", "resolved"),
        ("chat", "resolved"),
    ]
    assert len({(alert["fingerprint"], alert["startsAt"]) for _, alert in found}) == 1
    assert found[1][1]["annotations"] == found[0][1]["annotations"]
