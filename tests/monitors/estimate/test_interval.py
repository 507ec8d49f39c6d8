"""The interval of a mean: exact where exactness is known, honest elsewhere."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from qualitrace_monitors.estimate.interval import Moments

Values = NDArray[np.float64]

UNIT = st.floats(0, 1)
SAMPLES = st.lists(st.tuples(UNIT, st.floats(1, 100)), min_size=1, max_size=60)


def moments(values: Values, weights: Values, session: int = 1) -> Moments:
    """Sum up a weighted sample, of which `session` values in a row are a session each."""
    w, wy = ((weights * factor).reshape(-1, session).sum(axis=1) for factor in (np.ones(len(values)), values))
    return Moments(
        weight=float(w.sum()),
        squared_weight=float((w**2).sum()),
        first=float(wy.sum()),
        squared_first=float((w * wy).sum()),
        squared_second=float((wy**2).sum()),
        heaviest=float(weights.max()),
    )


def of_pairs(pairs: list[tuple[float, float]], copies: int = 1) -> Moments:
    """Sum up (value, weight) pairs, each taken `copies` times."""
    values, weights = np.array(pairs * copies).T
    return moments(values, weights)


@given(st.integers(1, 500), st.floats(1, 100), st.sampled_from([0.8, 0.95, 0.99]), st.data())
def test_passes_and_fails_of_equal_weight_give_clopper_pearson(
    count: int, weight: float, confidence: float, data: st.DataObject
) -> None:
    """For values 0 and 1 the interval is scipy's exact binomial one, whatever the common weight."""
    passes = data.draw(st.integers(0, count))
    sample = of_pairs([(1.0, weight)] * passes + [(0.0, weight)] * (count - passes))
    exact = binomtest(passes, count).proportion_ci(confidence, method="exact")
    assert sample.interval(confidence) == pytest.approx((exact.low, exact.high), abs=1e-6)


@given(SAMPLES, st.sampled_from([0.6, 0.95, 0.999]))
def test_the_interval_lies_within_0_and_1_and_contains_the_point(
    pairs: list[tuple[float, float]], confidence: float
) -> None:
    """Whatever the values and weights, 0 ≤ lower ≤ mean ≤ upper ≤ 1."""
    sample = of_pairs(pairs)
    lower, upper = sample.interval(confidence)
    assert 0 <= lower <= sample.mean + 1e-12
    assert sample.mean - 1e-12 <= upper <= 1


@given(SAMPLES)
def test_the_interval_shrinks_with_more_samples(pairs: list[tuple[float, float]]) -> None:
    """Four times the same sample gives a narrower interval."""
    lower, upper = of_pairs(pairs).interval(0.95)
    narrower_lower, narrower_upper = of_pairs(pairs, copies=4).interval(0.95)
    assert narrower_upper - narrower_lower < upper - lower


@given(SAMPLES)
def test_more_confidence_widens_the_interval(pairs: list[tuple[float, float]]) -> None:
    """The 99 % interval contains the 90 % one."""
    wide, narrow = of_pairs(pairs).interval(0.99), of_pairs(pairs).interval(0.9)
    assert wide[0] <= narrow[0]
    assert narrow[1] <= wide[1]


@given(SAMPLES)
def test_effective_samples_are_between_one_and_the_number(pairs: list[tuple[float, float]]) -> None:
    """Unequal weights cost samples; they never add any."""
    assert 1 - 1e-9 <= of_pairs(pairs).kish_samples <= len(pairs) + 1e-9


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40), st.integers(2, 20))
def test_repeats_within_a_session_tell_nothing_new(values: list[int], repeats: int) -> None:
    """A session of equal answers counts as one of them."""
    single = np.array(values, dtype=float)
    repeated = moments(np.repeat(single, repeats), np.ones(len(values) * repeats), session=repeats)
    assert repeated.interval(0.95) == pytest.approx(moments(single, np.ones(len(values))).interval(0.95), abs=1e-9)


def test_equal_scores_keep_their_doubt() -> None:
    """Forty times 0.8 does not pretend to certainty, as an interval from the variance alone would."""
    lower, upper = of_pairs([(0.8, 1.0)] * 40).interval(0.95)
    assert lower < 0.78
    assert upper > 0.81


POPULATIONS: dict[str, tuple[float, Callable[[np.random.Generator, int], Values]]] = {
    "mostly pass": (0.95, lambda random, n: (random.random(n) < 0.95).astype(float)),
    "smooth scores": (0.8, lambda random, n: random.beta(8, 2, n)),
    "scores near 0": (0.1 / 2.1, lambda random, n: random.beta(0.1, 2, n)),
    "rare collapse": (0.855, lambda random, n: np.where(random.random(n) < 0.05, 0.0, 0.9)),
    "rare success": (0.515, lambda random, n: np.where(random.random(n) < 0.03, 1.0, 0.5)),
}


@pytest.mark.parametrize("count", [5, 20, 100])
@pytest.mark.parametrize("population", POPULATIONS)
def test_coverage_is_at_least_nominal(population: str, count: int) -> None:
    """Over 2000 samples the 95 % interval misses the true mean in no more than 5 % + 2 %, also for few values."""
    mean, draw = POPULATIONS[population]
    random = np.random.default_rng(20261124)
    covered = 0
    for _ in range(2000):
        lower, upper = moments(draw(random, count), np.ones(count)).interval(0.95)
        covered += lower <= mean <= upper
    assert covered / 2000 >= 0.93


def test_coverage_holds_when_the_heavy_samples_fail_more() -> None:
    """A fifth of the traffic, sampled at 10 % and passing at 60 %, beside the rest at 100 % and 98 %, is covered."""
    random = np.random.default_rng(20261124)
    true_rate = 0.2 * 0.6 + 0.8 * 0.98
    covered = 0
    for _ in range(2000):
        rare = random.random(400) < 0.2
        passed = np.where(rare, random.random(400) < 0.6, random.random(400) < 0.98).astype(float)
        probability = np.where(rare, 0.1, 1.0)
        picked = random.random(400) < probability
        lower, upper = moments(passed[picked], 1 / probability[picked]).interval(0.95)
        covered += lower <= true_rate <= upper
    assert covered / 2000 >= 0.93


STREAMS = 600  # benchmarks/intervals.py has more, and more settings


@pytest.mark.parametrize("correlation", [0.1, 0.3])
@pytest.mark.parametrize("sessions", [5, 50])
def test_coverage_holds_for_sessions(correlation: float, sessions: int) -> None:
    """Twenty alike answers a session: without regard to sessions this covered 54 to 77 %."""
    random, rate, spread = np.random.default_rng(20261127), 0.85, 1 / correlation - 1
    covered = 0
    for _ in range(STREAMS):
        own = np.repeat(random.beta(rate * spread, (1 - rate) * spread, sessions), 20)
        passed = (random.random(len(own)) < own).astype(float)
        lower, upper = moments(passed, np.ones(len(own)), session=20).interval(0.95)
        covered += lower <= rate <= upper
    assert covered / STREAMS >= 0.93


@pytest.mark.parametrize(("light", "heavy"), [(0.5, 0.95), (0.95, 0.5), (0.0, 0.9)])
@pytest.mark.parametrize("count", [5, 20, 50])
def test_coverage_holds_for_few_scores_of_which_some_weigh_50_times_as_much(
    light: float, heavy: float, count: int
) -> None:
    """Also where none of the heavy ones was seen yet, as of a service whose errors are all judged."""
    random, share = np.random.default_rng(20261127), 0.1
    rate = (50 * share * heavy + (1 - share) * light) / (50 * share + 1 - share)
    covered = 0
    for _ in range(STREAMS):
        is_heavy = random.random(count) < share
        passed = (random.random(count) < np.where(is_heavy, heavy, light)).astype(float)
        sample = replace(moments(passed, np.where(is_heavy, 50.0, 1.0)), heaviest=50.0)
        lower, upper = sample.interval(0.95)
        covered += lower <= rate <= upper
    assert covered / STREAMS >= 0.93
