"""When an alert fires and resolves."""

import json
import math
from collections.abc import Iterable

import numpy as np
import pytest

from qualitrace_monitors.alerts.watch import Watch

STEP = 6.0  # seconds between two answers
PERIOD = 5_000  # answers in the period of the promise


def feed(watch: Watch, values: Iterable[float], start: float = 0.0, weight: float = 1.0) -> int | None:
    """Give values until the alert's state changes; return after how many, None if it does not."""
    before = bool(watch.firing[0])
    for number, value in enumerate(values, 1):
        watch.take(value, weight, 1 / PERIOD, start + number * STEP)
        if bool(watch.firing[0]) != before:
            return number
    return None


def answers(rate: float, count: int, seed: int = 7) -> list[float]:
    return [float(passed) for passed in np.random.default_rng(seed).random(count) < rate]


def test_a_service_that_fails_always_fires_within_a_dozen_answers() -> None:
    """There is no least number of samples: low traffic alerts, too."""
    found = feed(Watch(0.8, 0.05), [0.0] * 50)
    assert found is not None
    assert found <= 12


def test_it_says_what_changed() -> None:
    """After a fall from 0.95 to 0.70: the rate since, about how many answers, about when, and what it was before."""
    watch = Watch(0.9, 0.05)
    assert feed(watch, answers(0.95, 2_000)) is None
    fell_at = 2_000 * STEP
    count = feed(watch, answers(0.7, 1_000, seed=8), fell_at)
    assert count is not None
    assert watch.changes.mean[0] == pytest.approx(0.7, abs=0.1)
    assert watch.changes.count[0] == pytest.approx(count, rel=0.5)
    assert watch.changes.since[0] == pytest.approx(fell_at, abs=30 * STEP)
    assert watch.reference.mean[0] == pytest.approx(0.95, abs=0.02)


def test_the_reference_makes_it_faster() -> None:
    """A fall below what it was shows before a fall below the threshold does."""

    def delay(reference: float) -> float:
        streams = 200
        random, watch = np.random.default_rng(3), Watch(0.8, 0.05, streams, reference)
        fired_after = np.full(streams, math.inf)
        for number in range(3_000):
            passes = random.random(streams) < (0.85 if number < 1_200 else 0.7)
            watch.take(passes, 1.0, 1 / PERIOD, number * STEP)
            fired_after = np.where(watch.firing, np.minimum(fired_after, number - 1_200), fired_after)
        assert (fired_after > 0).all()  # none before the fall
        return float(np.median(fired_after))

    assert delay(1_000) < 0.85 * delay(0)


def test_it_resolves_once_the_rate_is_back_and_can_fire_again() -> None:
    """Neither a good answer nor ten end an alert; a hundred do."""
    watch = Watch(0.8, 0.05)
    assert feed(watch, answers(0.3, 300)) is not None
    recovered = feed(watch, answers(0.95, 500, seed=9), 2_000.0)
    assert recovered is not None
    assert 20 < recovered < 200
    assert feed(watch, answers(0.3, 300, seed=10), 6_000.0) is not None


def test_a_fall_that_is_above_the_threshold_does_not_fire() -> None:
    """The reference only makes it faster; what the rule says decides."""
    watch = Watch(0.7, 0.05)
    assert feed(watch, answers(0.98, 1_500)) is None
    assert feed(watch, answers(0.85, 3_000, seed=11), 9_000.0) is None


def test_always_judged_failures_weigh_as_much_as_their_sample() -> None:
    """With a rate of 1 % each error that is judged always counts a hundredth of a sampled answer."""
    watch = Watch(0.8, 0.05)
    for number in range(200):
        watch.take(0.0, 0.01, 1 / PERIOD, number * STEP)  # always judged
        watch.take(1.0, 1.0, 1 / PERIOD, number * STEP)  # sampled
        assert not watch.firing[0]


def test_a_restart_in_the_middle_changes_nothing() -> None:
    """Every number of the state survives JSON."""
    straight, restarted = Watch(0.9, 0.05, reference=200), Watch(0.9, 0.05, reference=200)
    values = [*answers(0.97, 400), *answers(0.5, 200), *answers(0.97, 300)]
    for number, value in enumerate(values):
        if number % 100 == 50:
            state = json.loads(json.dumps(restarted.dump()))
            restarted = Watch(0.9, 0.05, reference=200)
            restarted.load(state)
        straight.take(value, 1.0, 1 / PERIOD, number * STEP)
        restarted.take(value, 1.0, 1 / PERIOD, number * STEP)
    assert restarted.dump() == straight.dump()


def test_a_reference_without_a_failure_is_not_taken_for_certain() -> None:
    """A thousand passes say that the rate was above 0.99, not that a failure is impossible."""
    watch = Watch(0.8, 0.05)
    assert feed(watch, [1.0] * 1_100) is None
    assert 0.99 < watch.reference.bound[0] < 0.999
