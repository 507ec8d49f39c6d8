"""The joined estimate: worth more than the model's where the local judge tells something, never less, and honest."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.estimator import Estimate, Estimator
from qualitrace_monitors.estimate.interval import Moments
from qualitrace_monitors.estimate.joined import join
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.estimate.sums import HOUR

NOW = 1_000_020.0
AUDITED = 0.1
Values, Picked = NDArray[np.float64], NDArray[np.bool_]
AddScore = Callable[..., str]


def by_tier(database: Database) -> dict[str, Estimate]:
    return {found.tier: found for found in Estimator(database).estimates(NOW, 60)}


@pytest.fixture
def judge_both(database: Database, add_score: AddScore) -> Callable[..., None]:
    """Score a trace by the local judge, and by the model if `model` says what."""

    def judge(local: str, model: str | None, probability: float = AUDITED) -> None:
        trace_id = add_score(database, local, NOW)
        if model is not None:
            add_score(database, model, NOW, trace_id=trace_id, tier="llm", inclusion_probability=probability)

    return judge


def test_the_local_scores_move_the_models_mean(database: Database, judge_both: Callable[..., None]) -> None:
    """By hand: of 10 pairs the model passes 8, the local judge the same 8; of all 100 traces that one passes 70."""
    for number in range(10):
        both = "pass" if number < 8 else "fail"
        judge_both(both, both)
    for number in range(90):
        judge_both("pass" if number < 62 else "fail", None)
    found = by_tier(database)
    assert (found["llm"].pass_rate, found["local"].pass_rate) == pytest.approx((0.8, 0.7))
    # The judges agree, so λ is 1, and 0.8 moves by 0.7 - 0.8.
    assert found["joined"].pass_rate == pytest.approx(0.7)
    assert found["joined"].samples == 10
    assert 10 < found["joined"].effective_samples < 100


def test_a_biased_local_judge_biases_nothing(database: Database, judge_both: Callable[..., None]) -> None:
    """A local judge that passes everything leaves the model's estimate and interval as they are."""
    for number in range(200):
        judge_both("pass", ("fail" if number % 50 == 0 else "pass") if number % 10 == 0 else None)
    found = by_tier(database)
    assert found["joined"].pass_rate == found["llm"].pass_rate == pytest.approx(0.8)
    assert found["joined"].pass_rate_interval == pytest.approx(found["llm"].pass_rate_interval)
    assert found["local"].pass_rate == 1.0


def test_where_the_model_judges_everything_its_estimate_holds(
    database: Database, judge_both: Callable[..., None]
) -> None:
    """Without a sample there is nothing to predict: both estimates are one."""
    for number in range(40):
        judge_both("unsure", "pass" if number % 3 else "fail", probability=1.0)
    found = by_tier(database)
    for name in ("pass_rate", "pass_rate_interval", "mean_score", "mean_score_interval"):
        assert getattr(found["joined"], name) == pytest.approx(getattr(found["llm"], name))


def test_unsure_verdicts_of_the_model_widen_the_interval(database: Database, judge_both: Callable[..., None]) -> None:
    """The pass rate is that among passes and fails; the interval reaches from all unsure failed to all passed."""
    for number in range(60):
        judge_both("pass", ("pass", "pass", "fail", "unsure")[number % 4])
    joined = by_tier(database)["joined"]
    assert joined.pass_rate == pytest.approx(2 / 3)
    assert joined.unsure_share == pytest.approx(0.25)
    assert joined.pass_rate_interval[0] < 0.5
    assert joined.pass_rate_interval[1] > 0.75


def test_a_score_set_aside_leaves_the_joined_estimate(database: Database, judge_both: Callable[..., None]) -> None:
    """A trace that is judged anew takes its pair along."""
    judge_both("pass", "fail")
    judge_both("pass", "pass")
    [trace_id] = [row["trace_id"] for row in database.rows("SELECT trace_id FROM score WHERE label = 'fail'")]
    with database.transaction() as connection:
        ScoreRow.set_aside(connection, trace_id, "groundedness")
    assert (by_tier(database)["joined"].samples, by_tier(database)["joined"].pass_rate) == (1, 1.0)


def test_one_tier_alone_has_no_joined_estimate(database: Database, add_score: AddScore) -> None:
    """A judge without a cascade, or without any score of the model yet, has none."""
    add_score(database, "pass", NOW)
    add_score(database, "pass", NOW, tier="llm")
    assert sorted(by_tier(database)) == ["llm", "local"]


def test_in_steps_the_mean_moves_by_what_the_local_judge_saw_of_each(database: Database, add_score: AddScore) -> None:
    """By hand: both agree, so λ is 1, and each hour's mean is that of the local judge over all of its traces."""
    first = 300 * HOUR
    for hour, (both, alone) in enumerate([(8, 62), (9, 81)]):
        at = first + hour * HOUR + 60
        for number in range(100):
            is_seen = number < 10
            label = "pass" if number < both or 10 <= number < 10 + alone else "fail"
            trace_id = add_score(database, label, at)
            if is_seen:
                add_score(database, label, at, trace_id=trace_id, tier="llm", inclusion_probability=AUDITED)
    add_score(database, "pass", first + 2 * HOUR + 60)  # the model has scored none in that hour
    now = first + 3 * HOUR - 1
    found = Estimator(database).joined_series(now, 3 * HOUR - 1, HOUR, judge="groundedness", service="shop")
    assert found is not None
    assert (found.at, found.samples, found.tier) == ([first, first + HOUR], [10, 10], "joined")
    assert found.pass_rate == [pytest.approx(0.7), pytest.approx(0.9)]
    ends = found.pass_rate_ends
    assert ends.lower[0] < 0.7 < ends.upper[0] < 1 > ends.upper[1] > 0.9 > ends.lower[1]


def test_a_step_that_is_the_whole_window_has_its_joined_interval(database: Database, add_score: AddScore) -> None:
    """With unequal weights, unsure verdicts, and a local judge that errs."""
    random, first = np.random.default_rng(3), 300 * HOUR
    for number in range(300):
        label = str(random.choice(["pass", "pass", "fail", "unsure"]))
        local = label if random.random() < 0.8 and label != "unsure" else "pass"
        trace_id = add_score(database, local, first + number, value=float(local == "pass"))
        if number % 5 == 0:
            probability = float(random.choice([0.1, 0.4]))
            scored = {"trace_id": trace_id, "tier": "llm", "inclusion_probability": probability}
            add_score(database, label, first + number, value=float(label == "pass"), **scored)
    now = first + HOUR - 1
    [whole] = [each for each in Estimator(database).estimates(now, HOUR - 1) if each.tier == "joined"]
    found = Estimator(database).joined_series(now, HOUR - 1, HOUR, judge="groundedness", service="shop")
    assert found is not None
    assert (found.at, found.samples) == ([first], [whole.samples])
    assert found.pass_rate == [pytest.approx(whole.pass_rate)]
    assert found.mean_score == [pytest.approx(whole.mean_score)]
    for ends, interval in (
        (found.pass_rate_ends, whole.pass_rate_interval),
        (found.mean_score_ends, whole.mean_score_interval),
    ):
        assert (ends.lower[0], ends.upper[0]) == pytest.approx(interval, rel=1e-6)


def drawn(random: np.random.Generator, traces: int, rate: float, alike: float) -> tuple[Values, Values, Picked]:
    """Draw the model's verdicts, the local judge's, which correlate, and which traces the model sees."""
    model = (random.random(traces) < rate).astype(float)
    same = random.random(traces) < alike
    local = np.where(same, model, random.random(traces) < rate).astype(float)
    return model, local, random.random(traces) < AUDITED


def estimated(model: Values, local: Values, seen: Picked) -> tuple[Moments, Moments]:
    """Return the joined estimate, and the one by the model's scores alone."""
    y, x, w = model[seen], local[seen], 1 / AUDITED
    parts = {"w": w, "a": (1 - AUDITED) * w * w, "b": AUDITED * w * w}
    columns = {
        "": np.ones_like(y),
        "_value": y,
        "_value_value": y * y,
        "_local_value": x,
        "_local_value_local_value": x * x,
    }
    columns["_value_local_value"] = x * y
    sums = {part + name: factor * float(of.sum()) for part, factor in parts.items() for name, of in columns.items()}
    return join(sums, "value", {"local_value": float(local.mean())}), Moments.of(y.tolist())


@pytest.mark.parametrize(
    ("traces", "rate", "alike", "most"),
    [(60, 0.9, 0.8, 1.0), (1_000, 0.9, 0.0, 1.05), (1_000, 0.9, 0.8, 0.5), (1_000, 0.7, 0.8, 0.5)],
)
def test_the_interval_holds_and_takes_fewer_calls(traces: int, rate: float, alike: float, most: float) -> None:
    """It covers the truth, and at a correlation of 0.8 is that of twice as many calls; without one, of no fewer."""
    random, streams, held = np.random.default_rng(7), 1_000, 0
    widths = np.zeros(2)
    for _ in range(streams):
        model, local, seen = drawn(random, traces, rate, alike)
        if not seen.any():
            held += 1
            continue
        intervals = [moments.interval(0.95) for moments in estimated(model, local, seen)]
        held += intervals[0][0] <= rate <= intervals[0][1]
        widths += [high - low for low, high in intervals]
    assert held / streams >= 0.95 - 0.014  # two standard errors
    assert (widths[0] / widths[1]) ** 2 <= most  # an interval half as wide takes four times the calls
