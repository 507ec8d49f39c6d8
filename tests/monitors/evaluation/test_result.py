"""Means with their intervals, differences between two runs, and the gate."""

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from qualitrace_monitors.evaluation.metrics import reference_judges
from qualitrace_monitors.evaluation.result import Gate, MetricSummary, compare, summarize
from qualitrace_monitors.judges.contract import Label, Score
from qualitrace_monitors.rows.score import RowJudgement

JUDGE = reference_judges(None)[0]
VALUES = {"pass": 1.0, "fail": 0.0, "unsure": 0.5}


def summary_of(labels: Sequence[Label], others: Sequence[RowJudgement] = ()) -> MetricSummary:
    scores = [RowJudgement(score=Score(value=VALUES[label], label=label, rationale="")) for label in labels]
    return summarize(JUDGE, [*scores, *others], 0.95)


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_pass_rate_has_the_exact_binomial_interval(passes: int, fails: int):
    """Of n verdicts without doubt it is Clopper and Pearson's, as scipy computes it on its own."""
    summary = summary_of(["pass"] * passes + ["fail"] * fails)
    if passes + fails == 0:
        assert (summary.pass_rate, summary.pass_rate_interval) == (None, (0.0, 1.0))
        return
    exact = binomtest(passes, passes + fails).proportion_ci(0.95, method="exact")
    assert summary.pass_rate == passes / (passes + fails)
    assert summary.pass_rate_interval == pytest.approx((exact.low, exact.high), abs=1e-6)


def test_unsure_scores_widen_the_interval_both_ways():
    """From all of them failing to all of them passing."""
    summary = summary_of(["pass"] * 6 + ["fail"] * 2 + ["unsure"] * 4)
    assert summary.pass_rate == 0.75
    assert summary.unsure_share == pytest.approx(1 / 3)
    lower, upper = (binomtest(count, 12).proportion_ci(0.95, method="exact") for count in (6, 10))
    assert summary.pass_rate_interval == pytest.approx((lower.low, upper.high), abs=1e-6)


def test_rows_without_a_score_are_counted_with_their_reason():
    """They lower no mean, and the most frequent reason is given."""
    lacking = [RowJudgement(status="not_applicable", error="the sample has no passages")] * 2
    summary = summary_of(["pass"], [*lacking, RowJudgement(status="failed", error="away")])
    assert (summary.scored, summary.not_applicable, summary.failed) == (1, 2, 1)
    assert (summary.mean, summary.reason) == (1.0, "the sample has no passages")


def test_a_clear_fall_is_shown_as_one():
    """Thirty rows that lost half a point each: the interval excludes zero, and chance does not do that."""
    before = {str(number): 0.9 for number in range(30)}
    comparison = compare("m", {key: value - 0.5 for key, value in before.items()}, before, 0.95)
    assert comparison.difference == pytest.approx(-0.5)
    assert comparison.interval[0] < -0.5 < comparison.interval[1] < 0
    assert comparison.p_value is not None
    assert comparison.p_value < 0.001


def test_only_rows_of_both_runs_are_compared():
    """A row that is new says nothing about a difference."""
    comparison = compare("m", {"a": 1.0, "b": 0.0}, {"a": 1.0, "c": 0.3}, 0.95)
    assert (comparison.pairs, comparison.difference, comparison.p_value) == (1, 0.0, 1.0)
    assert compare("m", {"a": 1.0}, {"c": 1.0}, 0.95).reason == "no row was scored in both runs"


unit = st.floats(0, 1)


@given(unit, unit, unit)
def test_the_gate_closes_only_when_the_whole_interval_is_below(one: float, other: float, threshold: float):
    """A mean under the threshold is not enough."""
    lower, upper = sorted((one, other))
    gate = Gate(metric="m", quantity="mean", threshold=threshold, point=lower, interval=(lower, upper))
    assert (gate.verdict == "below") == (upper < threshold)
    assert (gate.verdict == "met") == (lower >= threshold)


@pytest.mark.slow
def test_a_large_comparison_needs_little_memory():
    """The permutations of 500 rows, all at once, would take 300 MB, and so on with each row."""
    rows = {str(i): (i % 10) / 10 for i in range(500)}
    tracemalloc.start()
    try:
        compare("m", rows, {key: 0.5 for key in rows}, 0.95)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 << 20
