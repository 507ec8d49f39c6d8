"""Estimates in steps: their intervals are those of whole windows where these are known, and cover the truth elsewhere."""

from collections.abc import Callable

import numpy as np
import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.series import LEAST_STEPS, MOST_STEPS, STEPS, step_for
from qualitrace_monitors.estimate.sums import DAY, HOUR, MINUTE

START = 1_700_006_400.0
"""The beginning of a day."""

AddScore = Callable[..., str]
AddScores = Callable[..., None]


@pytest.mark.parametrize("step", [30 * MINUTE, HOUR, DAY])
def test_a_step_that_is_the_whole_window_has_its_interval(database: Database, add_score: AddScore, step: float) -> None:
    """With sessions, weights and unsure verdicts."""
    random = np.random.default_rng(5)
    for number in range(40):
        label = str(random.choice(["pass", "pass", "fail", "unsure"]))
        add_score(
            database,
            label,
            START + number * step / 41,
            value=float(random.random()),
            session=f"s{number // 3}" if number < 20 else "",
            inclusion_probability=float(random.choice([1.0, 0.2])),
            least_probability=0.1,
        )
    now = START + step - 1
    [whole] = Estimator(database).estimates(now, step - 1)
    [found] = Estimator(database).series(now, step - 1, step)
    assert (found.at, found.samples, found.step) == ([START], [40], step)
    assert found.pass_rate == [pytest.approx(whole.pass_rate)]
    assert found.mean_score == [pytest.approx(whole.mean_score)]
    assert found.unsure_share == [pytest.approx(whole.unsure_share)]
    assert found.sampling_rate == [pytest.approx(whole.sampling_rate)]
    assert whole.sampling_rate < 0.9
    for ends, interval in (
        (found.pass_rate_ends, whole.pass_rate_interval),
        (found.mean_score_ends, whole.mean_score_interval),
    ):
        assert (ends.lower[0], ends.upper[0]) == pytest.approx(interval)


def test_single_scores_have_the_interval_of_each_step(database: Database, add_scores: AddScores) -> None:
    """Of passes and fails without weights: what an estimate over the step alone has. Steps without scores are left out."""
    for number, passes in enumerate(([True] * 12, [True, False] * 4, [], [False])):
        add_scores(database, passes, START + number * HOUR + 60)
    [found] = Estimator(database).series(START + 4 * HOUR - 1, 4 * HOUR - 1, HOUR)
    assert found.at == [START, START + HOUR, START + 3 * HOUR]
    assert found.samples == [12, 8, 1]
    for place, at in enumerate(found.at):
        [alone] = Estimator(database).estimates(at + HOUR - 1, HOUR - 1)
        ends = found.pass_rate_ends
        assert (ends.lower[place], ends.upper[place]) == pytest.approx(alone.pass_rate_interval, abs=1e-9)


def test_sessions_that_cross_steps_are_covered(database: Database, add_scores: AddScores) -> None:
    """All answers of a session are alike, and sessions go on over three steps: 95 % of the steps cover the truth."""
    database.connection().execute("PRAGMA synchronous = OFF")  # it is not about the disk
    random, truth, steps = np.random.default_rng(7), 0.8, 100
    for session in range(400):
        passed, began = bool(random.random() < truth), float(random.uniform(0, steps * 10))
        for turn in range(4):
            at = START + (began + 5 * turn) * MINUTE
            add_scores(database, [passed], at, session=f"s{session}")
    [found] = Estimator(database).series(START + steps * 10 * MINUTE, steps * 10 * MINUTE, 10 * MINUTE)
    ends = found.pass_rate_ends
    covered = [low <= truth <= high for low, high in zip(ends.lower, ends.upper, strict=True)]
    assert len(covered) >= steps
    assert np.mean(covered) >= 0.95


def test_only_what_is_asked_for(database: Database, add_scores: AddScores) -> None:
    """One judge, one service, in order."""
    for judge in ("safety", "relevance"):
        for service in ("shop", "faq"):
            add_scores(database, [True, False], START, judge=judge, service=service)
    estimator = Estimator(database)
    everything = [(each.judge, each.service) for each in estimator.series(START, HOUR, MINUTE)]
    assert everything == [(judge, service) for judge in ("relevance", "safety") for service in ("faq", "shop")]
    [one] = estimator.series(START, HOUR, MINUTE, judge="safety", service="faq")
    assert (one.judge, one.service, one.samples) == ("safety", "faq", [2])


def test_a_service_costs_the_same_beside_others(database: Database, add_scores: AddScores) -> None:
    """The sums of the others are not read: of SQLite it takes the same instructions."""
    estimator, taken = Estimator(database), list[int]()
    for others in (0, 10):
        for service in ("shop", *(f"other-{number}" for number in range(others))) if others else ("shop",):
            for hour in range(12):
                add_scores(database, [True, False], START + hour * HOUR, service=service)
        steps: list[None] = []
        database.connection().set_progress_handler(lambda steps=steps: steps.append(None), 1)
        assert estimator.series(START + 12 * HOUR - 1, 12 * HOUR - 1, HOUR, service="shop")
        database.connection().set_progress_handler(None, 1)
        taken.append(len(steps))
    assert taken[1] <= 1.1 * taken[0]


@pytest.mark.parametrize("window", [HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY])
def test_steps_are_few_enough_and_hold_enough(window: float) -> None:
    """With many scores as many as a chart shows; with few of them so many that a change has a time."""
    for scores in (0, 5, 500, 1e9):
        step = step_for(window, scores)
        assert step in STEPS
        assert LEAST_STEPS / 4 <= window / step <= MOST_STEPS
    assert step_for(window, 500) >= window / 25
    assert step_for(window) < window / 50
