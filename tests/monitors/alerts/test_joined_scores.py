"""Alerts on a cascade rest on both of its judges: on the model's word, and on guesses of it, in an unbiased order."""

import itertools
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts import joined_scores, new_scores
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.new_scores import Bet, take_bets
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.watch import Watch
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import Escalation
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
THEN = Escalation("groundedness/llm", 0.1, "m1")
VALUES = {"pass": 1.0, "unsure": 0.5, "fail": 0.0}


class Cascade:
    """A cascade whose verdicts the test decides."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._ids = (f"tr-{number:032x}" for number in itertools.count(1))
        self._batch: sqlite3.Connection | None = None

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Write in one transaction, which may hold others."""
        if self._batch is not None:
            yield self._batch
            return
        with self.database.transaction() as self._batch:
            yield self._batch
        self._batch = None

    def next_id(self, *, picked: bool) -> str:
        """Return the next id that the model is, or is not, asked about although the local judge is sure."""
        return next(each for each in self._ids if THEN.picks(each, THEN.audit_rate) is picked)

    def local(self, label: str, at: float = NOW, *, picked: bool | None = None, **changes: Any) -> str:
        """Let the local judge score a new trace; by default chance decides whether the model is asked."""
        trace_id = next(self._ids) if picked is None else self.next_id(picked=picked)
        self._save(_row(trace_id, label, at, "local", **changes), at, THEN)
        return trace_id

    def model(self, trace_id: str, label: str | None, at: float = NOW, **changes: Any) -> None:
        """Let the model judge a trace, or with None fail to."""
        row = None if label is None else _row(trace_id, label, at, "llm", **{"version": "m1", **changes})
        if row is not None:
            self._save(row, at, None)
        with self.writing() as connection:
            joined_scores.answer(connection, trace_id, "groundedness", row, at)

    def _save(self, row: ScoreRow, at: float, then: Escalation | None) -> None:
        with self.writing() as connection:
            new_scores.put(connection, row, then)
            row.save(connection)

    def both(self, local: str, model: str, at: float = NOW, **changes: Any) -> None:
        """Let both judge a trace, the model if it is picked."""
        trace_id = self.local(local, at, **changes)
        if THEN.picks(trace_id, THEN.probability(unsure=local == "unsure")):
            self.model(trace_id, model, at)

    def bets(self, now: float = NOW) -> list[Bet]:
        """Return the joined bets that are made now."""
        with self.database.transaction() as connection:
            return [bet for bet in take_bets(connection, now, 300.0)[0] if bet.tier == "joined"]


def _row(trace_id: str, label: str, at: float, tier: str, **changes: Any) -> ScoreRow:
    values: dict[str, Any] = {
        "trace_id": trace_id, "judge": "groundedness", "version": "1", "tier": tier, "service": "shop", "model": "m",
        "prompt_version": "", "value": VALUES[label], "label": label, "rationale": "", "inclusion_probability": 1.0,
        "assessment_id": "a", "tokens": 0, "cost_usd": None, "completed_at": at, "scored_at": at, "weight": 1.0,
    }  # fmt: skip
    return ScoreRow(**{**values, **changes})


@pytest.fixture
def cascade(database: Database) -> Cascade:
    """Provide a cascade on the test's database."""
    return Cascade(database)


def engine_on(database: Database, **options: Any) -> AlertEngine:
    """Make an engine with one rule on the cascade."""
    defaults = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.8", "tier": "joined"}
    rule = AlertRule.model_validate({**defaults, **options})
    return AlertEngine([rule], database, Estimator(database), Links("http://127.0.0.1:9464"))


def states(engine: AlertEngine) -> list[str]:
    return [status.state for _, status in engine.statuses()]


def test_a_trace_bets_on_a_guess_or_on_what_the_model_said(cascade: Cascade) -> None:
    """By hand, for an audit rate of a tenth: the guess of a pass is 0.9, and a fail of the model's 0.9 - 10 · 0.9."""
    cascade.local("pass", picked=False)
    cascade.model(cascade.local("pass", picked=True), "fail")
    cascade.model(cascade.local("unsure"), "pass")  # the model is asked in any case
    guessed, failed, asked = cascade.bets()
    assert (guessed.passed, guessed.failed) == pytest.approx((0.9, 0.1))
    assert guessed.low == pytest.approx((0.7, 0.7, 0.3))  # no guess of more than 0.7 shows a recovery
    assert (failed.passed, failed.failed) == pytest.approx((-8.1, 9.1))
    assert failed.low == pytest.approx((-6.3, -6.3, 7.3))
    assert (asked.value, asked.passed, asked.failed, asked.low) == (1.0, 1.0, 0.0, (1.0, 1.0, 0.0))
    assert (guessed.least, guessed.most) == pytest.approx((-9.0, 7.3))


def test_guesses_are_learned_from_the_model(cascade: Cascade) -> None:
    """After a hundred passes of the local judge's that the model fails, a pass is worth little."""
    with cascade.writing():
        for _ in range(100):
            cascade.model(cascade.local("pass", picked=True), "fail")
    cascade.local("pass", picked=False)
    last = cascade.bets()[-1]
    assert 1 - last.failed == pytest.approx(0.3)  # where a fall is looked for, no guess is less
    assert last.low is not None
    assert 1 - last.low.failed < 0.05


def test_bets_come_in_the_order_of_the_local_judge(cascade: Cascade) -> None:
    """What waits for the model holds up what came later, of its own service alone."""
    first = cascade.local("fail", NOW, picked=False)
    waiting = cascade.local("fail", NOW + 1, picked=True)
    for number in range(5):
        cascade.local("fail", NOW + 2 + number, picked=False)
    cascade.local("fail", NOW + 9, picked=False, service="faq")
    assert first < waiting
    assert [(bet.service, bet.at - NOW) for bet in cascade.bets()] == [("shop", 0), ("faq", 9)]
    assert cascade.bets() == []
    cascade.model(waiting, "fail", NOW + 60)
    assert [bet.at - NOW for bet in cascade.bets()] == [1, 2, 3, 4, 5, 6]


def test_what_the_model_never_says_counts_for_the_service_and_for_no_recovery(cascade: Cascade) -> None:
    """A failed judgement, and one of another version of the model, are a pass in the one and a fail in the other."""
    cascade.model(cascade.local("pass", picked=True), None)
    cascade.model(cascade.local("pass", picked=True), "fail", version="m2")
    for bet in cascade.bets():
        assert 1 - bet.failed == pytest.approx(0.9 + 10 * 0.1)
        assert bet.low is not None
        assert 1 - bet.low.failed == pytest.approx(0.7 - 10 * 0.7)


def test_a_trace_that_was_overtaken_is_given_up(cascade: Cascade) -> None:
    """One judgement that the provider refuses again and again does not hold up alerts for a day."""
    cascade.local("pass", NOW, picked=True)
    cascade.model(cascade.local("pass", NOW, picked=True), "pass", NOW + 10)
    assert cascade.bets(NOW + 900) == []
    assert len(cascade.bets(NOW + 911)) == 2


def test_a_model_that_is_gone_holds_up_alerts_for_a_day(cascade: Cascade) -> None:
    """Without any answer the traces wait as long as their judgements."""
    cascade.local("pass", NOW, picked=True)
    cascade.local("pass", NOW, picked=False)
    assert cascade.bets(NOW + 86_400) == []
    assert len(cascade.bets(NOW + 90_001)) == 2


def test_what_waits_is_bounded(
    cascade: Cascade, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Traces that come while too many wait do not bet, whatever they hold; the log says so."""
    monkeypatch.setattr(joined_scores, "MOST_HELD", 10)
    waiting = cascade.local("pass", NOW, picked=True)
    for number in range(20):
        cascade.local("fail", NOW + 1 + number, picked=False)
    assert cascade.bets() == []
    cascade.model(waiting, "pass")
    assert [bet.at - NOW for bet in cascade.bets()] == [*range(10)]
    assert "11 scores are left out of alerts" in caplog.text


def test_a_session_bets_once_when_all_of_its_traces_can(cascade: Cascade) -> None:
    """Its mean, although the model answered late."""
    cascade.local("pass", NOW, picked=False, session="s")
    waiting = cascade.local("pass", NOW + 1, picked=True, session="s")
    cascade.local("pass", NOW + 2, picked=False, session="s")
    assert cascade.bets(NOW + 1_000) == []
    cascade.model(waiting, "fail", NOW + 1_000)
    [bet] = cascade.bets(NOW + 1_000)
    assert bet.of_session
    assert 1 - bet.failed == pytest.approx((0.9 - 8.1 + 5.4 / 6) / 3, abs=0.1)
    assert bet.most == pytest.approx(7.3)


def play(cascade: Cascade, engine: AlertEngine, verdicts: Sequence[tuple[str, str]], start: float) -> None:
    with cascade.writing():
        for number, (local, model) in enumerate(verdicts):
            cascade.both(local, model, start + number * 6)
    engine.evaluate(start + len(verdicts) * 6)


def test_it_fires_on_what_the_model_finds_and_resolves_on_that(database: Database, cascade: Cascade) -> None:
    """The local judge passes everything; the model fails half of it, and later nothing."""
    engine = engine_on(database)
    play(cascade, engine, [("pass", "pass")] * 600, NOW)
    assert states(engine) == ["inactive"]
    play(cascade, engine, [("pass", "fail"), ("pass", "pass")] * 500, NOW + 5_000)
    assert states(engine) == ["firing"]
    engine = engine_on(database)  # as after a restart
    play(cascade, engine, [("pass", "pass")] * 1_500, NOW + 12_000)
    assert states(engine) == ["inactive"]


def test_the_local_judge_alone_fires_nothing_while_the_model_is_away(database: Database, cascade: Cascade) -> None:
    """It fails everything, wrongly. Its scores wait, and are what the model says once it is back."""
    engine = engine_on(database)
    with cascade.writing():
        asked = [cascade.local("fail", NOW + number * 6) for number in range(600)]
    for hour in range(12):
        engine.evaluate(NOW + hour * 3_600)
    assert "firing" not in states(engine)
    for trace_id in asked:
        if THEN.picks(trace_id, THEN.audit_rate):
            cascade.model(trace_id, "pass", NOW + 50_000)
    engine.evaluate(NOW + 50_001)
    assert "firing" not in states(engine)
    assert [watch.tier for watch in engine.watches(NOW + 50_001)] == ["joined"]


def test_the_local_judge_alone_resolves_nothing_while_the_model_is_away(database: Database, cascade: Cascade) -> None:
    """It passes everything, wrongly: neither in the outage, nor when its judgements have failed, is that a recovery."""
    engine = engine_on(database)
    play(cascade, engine, [("pass", "fail")] * 300, NOW)
    assert states(engine) == ["firing"]
    with cascade.writing():
        asked = [cascade.local("pass", NOW + 2_000 + number * 6) for number in range(1_500)]
    engine.evaluate(NOW + 11_000)
    assert states(engine) == ["firing"]
    for trace_id in asked:
        if THEN.picks(trace_id, THEN.audit_rate):
            cascade.model(trace_id, None, NOW + 90_000)
    engine.evaluate(NOW + 90_001)
    assert states(engine) == ["firing"]


@pytest.mark.parametrize(("tier", "state"), [("local", "firing"), ("llm", "inactive"), ("joined", "inactive")])
def test_a_rule_that_names_a_tier_rests_on_it_alone(
    tier: str, state: str, database: Database, cascade: Cascade
) -> None:
    """The local judge fails what the model passes."""
    engine = engine_on(database, tier=tier)
    play(cascade, engine, [("fail", "pass")] * 400, NOW)
    assert states(engine) == [state]


def test_a_rise_is_looked_for_from_the_other_side(database: Database, cascade: Cascade) -> None:
    """`pass_rate > 0.2`, as of a judge that finds attacks: what the model never said is not a pass."""
    engine = engine_on(database, when="pass_rate > 0.2")
    with cascade.writing():
        for number in range(400):
            trace_id = cascade.local("fail", NOW + number)
            if THEN.picks(trace_id, THEN.audit_rate):
                cascade.model(trace_id, None)
    engine.evaluate(NOW + 500)
    assert "firing" not in states(engine)
    play(cascade, engine, [("fail", "pass")] * 600, NOW + 1_000)
    assert states(engine) == ["firing"]


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_the_promise_holds_at_the_threshold(alike: float) -> None:
    """Of streams whose true rate is the threshold, at most 5 % fire within the period, whatever the guess is worth."""
    streams, rate, audited = 500, 0.8, 0.1
    random, fired = np.random.default_rng(11), np.zeros(500, dtype=np.bool_)
    watch = Watch(rate, 0.05, streams, least=-9.0, most=7.3)
    for number in range(5_000):
        model = (random.random(streams) < rate).astype(float)
        guess = np.where(random.random(streams) < alike, model, random.random(streams) < rate)
        guess = rate + alike * (guess - rate)
        asked = random.random(streams) < audited
        high, low = (
            clipped + asked / audited * (model - clipped)
            for clipped in (np.maximum(guess, 0.3), np.minimum(guess, 0.7))
        )
        watch.take(high, 1.0, 1 / 5_000, float(number), low)
        fired |= watch.firing
    assert fired.mean() <= 0.05 + 0.01  # one standard error
