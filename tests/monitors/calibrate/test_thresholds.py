"""Thresholds whose bound holds on simulated judges."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from qualitrace_monitors.calibrate.labels import LabelledScore
from qualitrace_monitors.calibrate.thresholds import fit, labels_needed
from qualitrace_monitors.judges.contract import Label

ALPHA, CONFIDENCE = 0.1, 0.9
PAIRS = st.lists(st.builds(LabelledScore, st.floats(0, 1), st.sampled_from(["pass", "unsure", "fail"]), st.booleans()))


def answers(count: int, value: float, label: Label, *, good: bool) -> list[LabelledScore]:
    return [LabelledScore(value, label, good)] * count


@given(st.floats(0.01, 0.5), st.floats(0.001, 0.3))
def test_the_labels_needed_are_the_fewest(target_error: float, delta: float):
    """So many answers without an error pass the exact test, one fewer do not."""
    n = labels_needed(target_error, delta)
    assert binomtest(0, n, target_error, alternative="less").pvalue <= delta * (1 + 1e-9)
    assert n == 1 or binomtest(0, n - 1, target_error, alternative="less").pvalue > delta * (1 - 1e-9)


def test_a_side_begins_with_the_labels_it_needs():
    """29 right answers prove an error below 10 % at 95 % for one side; 28 do not."""
    assert labels_needed(0.1, 0.05) == 29
    assert fit(answers(28, 1, "pass", good=True), 0.1, 0.9).passing.threshold is None
    assert fit(answers(29, 1, "pass", good=True), 0.1, 0.9).passing.threshold is not None


@given(PAIRS)
def test_thresholds_never_overlap(pairs: list[LabelledScore]):
    """A value has one verdict; the verdicts and errors are those of the labels."""
    fitted = fit(pairs * 5, 0.4, 0.6)
    passing, failing = fitted.passing, fitted.failing
    if passing.threshold is not None:
        beyond = [pair for pair in pairs * 5 if pair.value >= passing.threshold]
        assert (len(beyond), sum(not pair.good for pair in beyond)) == (passing.verdicts, passing.errors)
        if failing.threshold is not None:
            assert failing.threshold < passing.threshold
    assert 0 <= fitted.coverage <= 1


@pytest.mark.parametrize(
    "good_given",
    [
        lambda value: np.clip(1.1 * value - 0.05, 0, 1),  # a fair judge, just not sure enough at the ends
        lambda value: np.full_like(value, 1 - ALPHA - 0.005),  # every pass threshold errs by a hair too much
        lambda value: np.where(value > 0.7, 0.95, 0.5),  # sharp
    ],
)
def test_the_bound_holds_on_simulated_judges(good_given: Callable[[np.ndarray], np.ndarray]):
    """In 400 calibrations, those whose true error is above the target are no more than 1 - confidence allows.

    The true error of a fitted threshold is computed on a fine grid of values, which are uniform. The exact binomial
    test would reject a true rate of 1 - confidence once in 10,000 runs; the seed makes it one run for all.
    """
    random = np.random.default_rng(7)
    grid = (np.arange(20_000) + 0.5) / 20_000
    good_on_grid = good_given(grid)
    broken = fits = 0
    for _ in range(400):
        values = random.random(150)
        good = random.random(150) < good_given(values)
        pairs = [LabelledScore(float(value), "unsure", bool(truth)) for value, truth in zip(values, good, strict=True)]
        fitted = fit(pairs, ALPHA, CONFIDENCE)
        errors = []
        if fitted.passing.threshold is not None:
            errors.append(1 - good_on_grid[grid >= fitted.passing.threshold].mean())
        if fitted.failing.threshold is not None:
            errors.append(good_on_grid[grid <= fitted.failing.threshold].mean())
        fits += bool(errors)
        broken += any(error > ALPHA + 1e-3 for error in errors)
    assert fits > 0
    assert broken <= binom.isf(1e-4, 400, 1 - CONFIDENCE)


def test_a_sharp_judge_gets_both_thresholds():
    """Values that separate good from bad are used: most answers get a verdict."""
    random = np.random.default_rng(3)
    values = random.random(400)
    pairs = [LabelledScore(float(v), "unsure", bool(v > 0.5)) for v in values]
    fitted = fit(pairs, ALPHA, CONFIDENCE)
    assert fitted.passing.threshold is not None
    assert fitted.failing.threshold is not None
    assert 0.4 <= fitted.failing.threshold < fitted.passing.threshold <= 0.6
    assert fitted.coverage > 0.9


def test_scores_that_both_sides_could_decide_go_to_the_side_that_errs_less():
    """Few answers are bad, so passing them all would keep the bound; yet a judge that is never wrong fails the bad."""
    fitted = fit([*answers(1000, 0.9, "pass", good=True), *answers(40, 0.1, "fail", good=False)], 0.1, 0.95)
    assert (fitted.passing.verdicts, fitted.passing.errors) == (1000, 0)
    assert (fitted.failing.verdicts, fitted.failing.errors) == (40, 0)
    assert fitted.failing.threshold == pytest.approx(0.5, abs=0.02)  # far from either
