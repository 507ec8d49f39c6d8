"""Differences between two runs."""

import tracemalloc

import pytest

from qualitrace_monitors.evaluation.comparison import compare


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
