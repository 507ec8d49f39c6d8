"""A replay of what a server has stored against what its engine found at the time."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import EVALUATION_SECONDS, AlertEngine
from qualitrace_monitors.alerts.rule_watch import Change
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.history import History, Wanted
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links
from support.judging import Monitor, verdict
from support.replays import found_at_the_time, found_later, replayed

START = 1_700_000_000.0
"""A moment at which the rules look at what came."""

AddScore = Callable[..., str]
RULES: dict[str, dict[str, Any]] = {
    "low": {"when": "pass_rate < 0.5"},
    "patient": {"when": "pass_rate < 0.5", "for": 60, "keep_firing_for": 90},
    "mean": {"when": "mean_score < 0.5", "share": "rule", "tier": "local"},
    "unsure": {"when": "unsure_rate > 0.1", "session_silence": 40},
    "part": {"when": "pass_rate < 0.5", "match": {"route": "/ask*"}, "service": "shop*"},
    "canary": {"when": "drop > 0.05 from control", "canary": {"release": "2"}, "control": {"release": "1"}},
}


def rules_of(made: dict[str, dict[str, Any]]) -> list[AlertRule]:
    """Make rules that notify `ops`."""
    own = {"judge": "groundedness", "when": "pass_rate < 0.9", "false_alarms": "10% per 1h", "notify": ["ops"]}
    return [AlertRule.model_validate({"name": name, **own, **options}) for name, options in made.items()]


def bad_hours(randomly: random.Random, number: int) -> dict[str, Any]:
    """Make up a score of a service that is bad twice, with a canary that is worse, sessions and weights."""
    bad = 20 < number < 50 or 95 < number < 125
    release = randomly.choice("112")
    service = randomly.choice(["shop", "shop", "faq"])
    passes, unsure = (0.2 if service == "faq" else 0.03) if bad else 0.95 - 0.7 * (release == "2"), 0.02
    if bad and service == "faq":
        unsure = 0.75
    label = randomly.choices(["pass", "unsure", "fail"], [passes, unsure, 1 - passes - unsure])[0]
    return {
        "label": label,
        "value": randomly.uniform(0.7, 1) if label == "pass" else randomly.uniform(0, 0.5),
        "service": service,
        "release": release,
        "route": randomly.choice(["/ask", "/ask/more", "/search"]),
        "session": randomly.choice(["", "", "", f"s{number // 12}", f"t{number // 30}"]),
        "weight": randomly.choice([1.0, 1.0, 1.0, 0.1, 0.0]),
    }


@pytest.mark.slow
def test_a_replay_fires_and_resolves_when_the_engine_did(
    database: Database, add_score: AddScore, tmp_path: Path
) -> None:
    """By every rule, at the same evaluation, with the same numbers: also of sessions, parts, weights and `for`."""
    rules, randomly = rules_of(RULES), random.Random(3)
    engine = AlertEngine(rules, database, Estimator(database), Links("http://127.0.0.1:9464"))
    changes: dict[tuple[str, str, float], Change] = {}
    now = START
    for number in range(140):
        now += EVALUATION_SECONDS
        for came in sorted(randomly.uniform(0, 4.9) for _ in range(randomly.choice([0, 4, 8, 30]))):
            score = bad_hours(randomly, number)
            add_score(database, score.pop("label"), now - 4.9 + came, **score)
        engine.evaluate(now)
        firing = {(status.rule, status.service) for _, status in engine.statuses() if status.fired_at == now}
        for watch in engine.watches(now) if firing else ():
            if (watch.rule.name, watch.service) in firing:
                changes[watch.rule.name, watch.service, now] = watch.change
    replay = replayed(database, tmp_path, rules, now)
    found = found_at_the_time(database)
    assert found_later(replay.courses) == found
    assert {name for _, name, *_ in found} == RULES.keys()
    assert {state for state, *_ in found} == {"firing", "resolved"}
    again = {(*key, each.fired_at): each.change for key, course in replay.courses.items() for each in course.firings}
    assert again == changes


@pytest.mark.slow
def test_a_replay_bets_on_what_the_server_bet_on(make: Callable[..., Monitor], tmp_path: Path) -> None:
    """Of a cascade both judges, joined as they were then; of a trace that was judged again the first verdict."""
    monitor = make()
    monitor.now = START
    monitor.cascade(0.5)
    rules = rules_of({"joined": {"tier": "joined"}, "local": {"tier": "local"}, "llm": {"tier": "llm"}})
    rules = [rule.model_copy(update={"judge": "relevance"}) for rule in rules]
    engine = AlertEngine(rules, monitor.database, Estimator(monitor.database), Links("http://127.0.0.1:9464"))
    for number in range(40):
        monitor.now += EVALUATION_SECONDS
        monitor.put(number, session="")
        monitor.judge.answers = [verdict()]
        monitor.worker.step()
        if number >= 10:  # late spans change what was judged
            monitor.put(number - 10, answer="Another.", session="")
            monitor.judge.answers = [verdict(value=0.9, label="pass")]
            monitor.worker.step()
        if number % 7 == 6:
            while monitor.model_worker.step() == 0.0:
                pass
        engine.evaluate(monitor.now)
    weights = {row["weight"] for row in monitor.scores()}
    replay = replayed(monitor.database, tmp_path, rules, monitor.now, judge="relevance")
    found = found_at_the_time(monitor.database)
    assert found_later(replay.courses) == found
    assert {name for _, name, *_ in found} == {"joined", "local", "llm"}
    assert weights == {1.0}


def test_scores_that_nothing_bets_on_have_no_weight(database: Database, add_score: AddScore, tmp_path: Path) -> None:
    """Those that never had one, and those whose weight nobody knows; those before the time asked for are left out."""
    for at, weight in ((START - 1, 1.0), (START, 1.0), (START + 1, 0.0), (START + 2, None), (START + 3, 0.5)):
        add_score(database, "pass", at, weight=0.0 if weight is None else weight)
        if weight is None:
            database.connection().execute("UPDATE score SET weight = NULL WHERE scored_at = ?", (at,))
    wanted = Wanted(judges={"groundedness"}, since=START)
    history = History.copy(database.path, tmp_path / "history.db", wanted, START + 10)
    assert [(at - START, row.weight) for at, row, _ in history] == [(0, 1.0), (1, 0.0), (2, 0.0), (3, 0.5)]
    assert (history.scores, history.unweighted, history.services) == (4, 1, {"groundedness": {"shop"}})
