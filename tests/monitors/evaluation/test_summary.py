"""Means and pass rates with their intervals."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from qualitrace_monitors.evaluation.metrics import reference_judges
from qualitrace_monitors.evaluation.summary import MetricSummary, summarize
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
