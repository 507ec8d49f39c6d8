"""Drops from what was, and of a canary from its control: when they fire, and how rarely by chance."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from qualitrace_collector.pipeline.match import Match
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.new_scores import Bet
from qualitrace_monitors.alerts.pairs import MOST_WAITING, Pairs, difference_null
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.watch import Watch
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.payload import Links

NOW = 1_000_000.0
AddScores = Callable[..., None]
CANARY, CONTROL = {"release": "1.5.0"}, {"release": "1.4.1"}


def engine_on(database: Database, **options: object) -> AlertEngine:
    rule = {"name": "drop", "judge": "groundedness", "when": "drop > 0.05 from baseline", "notify": ["ops"]}
    rules = [AlertRule.model_validate({**rule, **options})]
    return AlertEngine(rules, database, Estimator(database), Links("http://127.0.0.1:9464"))


def states(engine: AlertEngine) -> list[str]:
    return [status.state for _, status in engine.statuses()]


def summaries(database: Database) -> list[str]:
    rows = database.connection().execute("SELECT body FROM outbox ORDER BY sequence")
    return [json.loads(row["body"])["commonAnnotations"]["summary"] for row in rows]


def draws(rate: float, count: int, seed: int) -> list[bool]:
    return [bool(drawn) for drawn in np.random.default_rng(seed).random(count) < rate]


def false_alarms(*, mean: float, drop: float, streams: int = 400, values: int = 5_000) -> float:
    """Return the share of streams with an alarm whose mean falls by just less than the drop after the reference."""
    random = np.random.default_rng(11)
    watch, fired = Watch(0.5, 0.05, streams, drop=drop), np.zeros(streams, dtype=bool)
    for number in range(values):
        rate = mean if number < 1_000 else mean - drop
        watch.take(random.random(streams) < rate, 1.0, 1 / values, number * 6.0)
        fired |= watch.firing
    return float(fired.mean())


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "drop"), [(0.95, 0.05), (0.8, 0.1), (0.99, 0.02)])
def test_a_drop_of_just_what_is_allowed_keeps_the_promise(mean: float, drop: float) -> None:
    """Also if the mean of the reference happened to be high: its own error is a part of the promise."""
    assert false_alarms(mean=mean, drop=drop) <= 0.05


def test_a_drop_from_the_first_thousand_answers_fires(database: Database, add_scores: AddScores) -> None:
    """Wherever the service was: at 0.75, which many thresholds would call bad, it is the drop that counts."""
    engine = engine_on(database)
    add_scores(database, draws(0.75, 1100, 1), NOW)
    engine.evaluate(NOW)
    add_scores(database, draws(0.75, 500, 2), NOW + 60)
    engine.evaluate(NOW + 60)
    assert states(engine) == ["inactive"]
    add_scores(database, draws(0.4, 300, 3), NOW + 120)
    engine.evaluate(NOW + 120)
    assert states(engine) == ["firing"]
    [summary] = summaries(database)
    assert summary.startswith("groundedness of shop fell: pass rate 0.")
    assert ", was 0.7" in summary
    assert summary.endswith("(a drop of more than 0.05 from its first 1,000 values, false alarms at most 5% per 30d)")
    add_scores(database, draws(0.75, 900, 4), NOW + 180)
    engine.evaluate(NOW + 180)
    assert states(engine) == ["inactive"]


def test_nothing_drops_before_there_is_a_reference(database: Database, add_scores: AddScores) -> None:
    """A service that fails from its first answer on was never better."""
    engine = engine_on(database)
    add_scores(database, [False] * 500, NOW)
    engine.evaluate(NOW)
    assert states(engine) == ["inactive"]


def test_a_rate_that_cannot_drop_so_far_does_not() -> None:
    """Of a service that passes in 3 % of the cases no drop of 5 points can be shown, however long it fails."""
    watch = Watch(0.5, 0.05, drop=0.05)
    for number, passed in enumerate([*draws(0.03, 1_100, 1), *[False] * 20_000]):
        watch.take(float(passed), 1.0, 1 / 5_000, number * 6.0)
        assert not watch.firing[0]


def test_a_new_judge_version_resolves_a_drop_by_what_the_old_one_knew(
    database: Database, add_scores: AddScores
) -> None:
    """The alert stays while the rate is below what the drop allows, although the new version has no reference."""
    engine = engine_on(database)
    add_scores(database, draws(0.95, 1100, 1), NOW)
    add_scores(database, [False] * 50, NOW)
    engine.evaluate(NOW)
    add_scores(database, draws(0.7, 300, 2), NOW + 1, version="2")
    engine.evaluate(NOW + 1)
    assert states(engine) == ["firing"]
    add_scores(database, [True] * 300, NOW + 2, version="2")
    engine.evaluate(NOW + 2)
    assert states(engine) == ["inactive"]


def canary_engine(database: Database, **options: object) -> AlertEngine:
    compared = {"when": "drop > 0.05 from control", "canary": CANARY, "control": CONTROL}
    return engine_on(database, **{**compared, **options})


@pytest.mark.parametrize(("canary", "state"), [(0.9, "inactive"), (0.5, "firing")])
def test_a_canary_is_compared_with_its_control(
    canary: float, state: str, database: Database, add_scores: AddScores
) -> None:
    """Releases side by side, the canary with a fifth of the traffic; what is of neither side does not count."""
    engine = canary_engine(database)
    good, other = iter(draws(0.9, 2_000, 1)), iter(draws(canary, 400, 2))
    for minute in range(40):
        at = NOW + minute * 60
        add_scores(database, [next(good) for _ in range(25)], at, **CONTROL)
        add_scores(database, [next(other) for _ in range(5)], at, **CANARY)
        add_scores(database, [False] * 5, at, release="1.3.0")
        engine = canary_engine(database)  # as after a restart
        engine.evaluate(at)
    assert states(engine) == [state]
    if state == "firing":
        [summary] = summaries(database)
        assert summary.startswith(
            "groundedness of shop is worse with release 1.5.0 than with release 1.4.1: pass rate differs by -0."
        )
        assert "pairs of answers since" in summary


def test_an_outage_of_both_sides_is_no_drop_from_control(database: Database, add_scores: AddScores) -> None:
    """When the provider fails, both releases fail alike."""
    engine = canary_engine(database)
    for minute in range(60):
        at = NOW + minute * 60
        passes = minute < 30
        add_scores(database, [passes] * 10, at, **CONTROL)
        add_scores(database, [passes] * 2, at, **CANARY)
        engine.evaluate(at)
    assert states(engine) == ["inactive"]


def bet_of(release: str, value: float, weight: float = 1.0) -> Bet:
    return Bet(
        judge="j", tier="llm", version="1", service="s", weight=weight, value=value, passed=value, failed=1 - value,
        at=NOW, slices={"release": release},
    )  # fmt: skip


def test_what_waits_is_bounded_and_recent() -> None:
    """A control of a hundred times the canary's traffic neither grows, nor brings the values of last week."""
    pairs = Pairs(Match({"release": ("2",)}), Match({"release": ("1",)}))
    for number in range(1_000):
        assert pairs.take(bet_of("1", number / 1_000, 0.5), number / 1_000, 0.0) is None
    assert len(pairs.dump()["waiting"]) == MOST_WAITING
    found = pairs.take(bet_of("2", 1.0, 0.5), 1.0, 0.5)
    assert found == (1.0, pytest.approx((0.5 - 0.98 + 1) / 2), 0.25)


@pytest.mark.slow
def test_a_canary_that_is_worse_by_just_what_is_allowed_keeps_the_promise() -> None:
    """Also where failed traces are always judged, and others at a tenth: then half of the values are fails."""
    streams, drop, rate = 400, 0.05, 0.1
    random, fired = np.random.default_rng(5), np.zeros(400, dtype=bool)
    watch = Watch(difference_null(drop), 0.05, streams, reference=0)

    def side(passing: float) -> tuple[np.ndarray, np.ndarray]:
        passed = random.random(streams) < rate * passing / (rate * passing + 1 - passing)
        return passed.astype(float), np.where(passed, 1.0, rate)

    for number in range(5_000):
        (control, one), (canary, other) = side(0.9), side(0.9 - drop)
        watch.take((canary - control + 1) / 2, one * other, 1 / 5_000, number * 6.0)
        fired |= watch.firing
    assert fired.mean() <= 0.05
