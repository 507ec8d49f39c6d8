"""The detector: its recursion, its promise, and what survives a restart."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.alerts.detector import GAPS, MOST_STAKED, SHARES, Detector

ALL = np.ones(1, dtype=np.bool_)
VALUES = st.floats(0, 1)
WEIGHTS = st.floats(0.001, 1)
FRESH = st.floats(1e-6, 1)


def plain(null: float, bets: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """The recursion as the paper writes it: evidence, mean, count and beginning of the change."""
    masses, counts, sums, times = ([0.0] * len(GAPS) for _ in range(4))
    for x, r, h, now in bets:
        for k, (gap, share) in enumerate(zip(GAPS, SHARES.tolist(), strict=True)):
            stake = min(gap / (null * (1 - null)), MOST_STAKED / (1 - null))
            e = 1 + stake * r * (null - x)
            counts[k] = (counts[k] + r * (masses[k] + share * h)) * e
            sums[k] = (sums[k] + r * x * (masses[k] + share * h)) * e
            times[k] = (times[k] + now * share * h) * e
            masses[k] = (masses[k] + share * h) * e
    total = sum(masses)
    return total, sum(sums) / sum(counts), sum(counts) / total, sum(times) / total


@given(st.floats(0.05, 0.95), st.lists(st.tuples(VALUES, WEIGHTS, FRESH, st.floats(0, 1e6)), min_size=1, max_size=30))
def test_it_follows_the_recursion(null: float, bets: list[tuple[float, float, float, float]]) -> None:
    """Logarithms and ratios hold what the plain sums hold."""
    detector = Detector(null)
    for x, r, h, now in bets:
        detector.bet(x, r, h, now, ALL)
    found = detector.read()
    evidence, mean, count, since = plain(null, bets)
    assert math.exp(detector.log_evidence()[0]) == pytest.approx(evidence, rel=1e-9)
    assert (found.mean[0], found.count[0], found.since[0]) == pytest.approx((mean, count, since), rel=1e-9, abs=1e-12)


@given(st.lists(st.tuples(VALUES, WEIGHTS, FRESH), min_size=2, max_size=20), st.data())
def test_a_restart_changes_nothing(bets: list[tuple[float, float, float]], data: st.DataObject) -> None:
    """The state goes through JSON to the last bit."""
    cut = data.draw(st.integers(0, len(bets)))
    straight, restarted = Detector([0.8, 0.5]), Detector([0.8, 0.5])
    both = np.ones(2, dtype=np.bool_)
    for number, (x, r, h) in enumerate(bets):
        if number == cut:
            restarted = Detector.load(json.loads(json.dumps(restarted.dump())))
        straight.bet(x, r, h, float(number), both)
        restarted.bet(x, r, h, float(number), both)
    assert restarted.dump() == straight.dump()


def test_streams_do_not_touch_each_other() -> None:
    """A bet, a reset and a new null are those of the streams that are named."""
    one, detector = Detector(0.8), Detector([0.8, 0.8])
    second = np.array([False, True])
    for number in range(20):
        one.bet(0.0, 1.0, 0.001, float(number), ALL)
        detector.bet(0.0, 1.0, 0.001, float(number), np.ones(2, dtype=np.bool_))
    detector.reset(second)
    detector.move(np.array([0.1, 0.5]), second)
    detector.bet(0.0, 1.0, 0.001, 20.0, second)
    fresh = Detector(0.5)
    fresh.bet(0.0, 1.0, 0.001, 20.0, ALL)
    assert detector.log_evidence().tolist() == [one.log_evidence()[0], fresh.log_evidence()[0]]


@pytest.mark.parametrize("weight", [1.0, 0.05])
def test_the_promise_holds_at_the_null(weight: float) -> None:
    """Of 2,000 streams whose mean is just the null, at most α = 5 % ever reach 1/α within the period of 1,000 values."""
    streams, values, alpha = 2000, 1000, 0.05
    random = np.random.default_rng(20)
    detector, reached = Detector(np.full(streams, 0.8)), np.zeros(streams, dtype=np.bool_)
    for number in range(values):
        passes = random.random(streams) < 0.8
        detector.bet(passes, weight, 1 / values, float(number), np.ones(streams, dtype=np.bool_))
        reached |= detector.log_evidence() >= -np.log(alpha)
    spread = math.sqrt(alpha * (1 - alpha) / streams)
    assert reached.mean() <= alpha + 3 * spread


@pytest.mark.parametrize("value", [0.0, 1.0, 0.8])
def test_long_streams_stay_finite(value: float) -> None:
    """Evidence may grow for ever, or vanish: the readings stay numbers."""
    detector = Detector(0.8)
    for number in range(20_000):
        detector.bet(value, 1.0, 1e-6, float(number), ALL)
    found = detector.read()
    assert np.isfinite([detector.log_evidence()[0], found.mean[0], found.count[0], found.since[0]]).all()
    assert found.mean[0] == pytest.approx(value)


@pytest.mark.parametrize("null", [0.0, 1.0])
def test_a_null_at_the_edge_is_bounded(null: float) -> None:
    """`pass_rate < 1` is a rule that somebody may write."""
    detector = Detector(null)
    detector.bet(0.0, 1.0, 0.1, 0.0, ALL)
    detector.bet(1.0, 1.0, 0.1, 1.0, ALL)
    assert np.isfinite(detector.log_evidence()[0])
