"""Agreement against textbook values, and thresholds whose bound holds on simulated judges."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from qualitrace_collector.person_feedback import read_label
from qualitrace_monitors.calibrate.calibration import Measured, fit, labels_needed, measure
from qualitrace_monitors.calibrate.labels import LabelledScore
from qualitrace_monitors.judges.contract import Label

ALPHA, CONFIDENCE = 0.1, 0.9
PAIRS = st.lists(st.builds(LabelledScore, st.floats(0, 1), st.sampled_from(["pass", "unsure", "fail"]), st.booleans()))


def answers(count: int, value: float, label: Label, *, good: bool) -> list[LabelledScore]:
    return [LabelledScore(value, label, good)] * count


def test_kappa_of_a_worked_example():
    """20 and 15 agreements, 5 and 10 disagreements of 50: observed 0.7, by chance 0.5, kappa 0.4 (Cohen's formula)."""
    pairs = [
        *answers(20, 1, "pass", good=True),
        *answers(5, 0, "fail", good=True),
        *answers(10, 1, "pass", good=False),
        *answers(15, 0, "fail", good=False),
    ]
    kappa = measure(pairs, 0.95).kappa
    assert kappa.estimate == pytest.approx(0.4)
    assert (kappa.lower, kappa.upper) == pytest.approx(
        (0.4 - 1.96 * 0.127, 0.4 + 1.96 * 0.127), abs=0.07
    )  # large sample; exact shares are wider


@pytest.mark.parametrize("label", ["pass", "fail", "unsure"])
@pytest.mark.parametrize("good", [True, False])
def test_kappa_of_one_class_each_is_not_defined(label: Label, good: bool):
    """Where nothing differs agreement cannot differ from chance, and no number is made up for it."""
    assert measure(answers(10, 0.5, label, good=good), 0.95).kappa == Measured()


def test_kappa_of_a_class_that_was_not_seen_is_open():
    """Experts call all good: agreement is that by chance, and what the judge makes of a bad answer is not known."""
    pairs = [*answers(9, 1, "pass", good=True), *answers(1, 0, "fail", good=True)]
    kappa = measure(pairs, 0.95).kappa
    assert kappa.estimate == pytest.approx(0)
    assert kappa.lower is not None
    assert kappa.upper is not None
    assert kappa.lower <= 0
    assert kappa.upper > 0.8


@pytest.mark.parametrize(
    ("labelled", "bad", "sensitivity", "specificity"),
    [(50, 0.02, 0.95, 0.999), (50, 0.1, 0.2, 0.99), (200, 0.02, 0.9, 0.98), (200, 0.5, 0.5, 0.95)],
)
def test_kappas_interval_holds_also_where_one_class_is_rare(
    labelled: int, bad: float, sensitivity: float, specificity: float
):
    """A bootstrap's covers the truth in 4 to 90 % of such samples: it never draws what the sample has not."""
    random, tables, held = np.random.default_rng(20261127), 120, 0
    cells = np.array(
        [(1 - bad) * specificity, (1 - bad) * (1 - specificity), bad * (1 - sensitivity), bad * sensitivity]
    )
    agreement, passed = cells[0] + cells[3], cells[0] + cells[2]
    chance = (1 - bad) * passed + bad * (1 - passed)
    truth = (agreement - chance) / (1 - chance)
    kinds: list[tuple[Label, bool]] = [("pass", True), ("fail", True), ("pass", False), ("fail", False)]
    for _ in range(tables):
        counts = random.multinomial(labelled, cells)
        pairs = [
            pair
            for count, (label, good) in zip(counts, kinds, strict=True)
            for pair in answers(count, 1, label, good=good)
        ]
        kappa = measure(pairs, 0.95).kappa
        held += kappa.lower is None or kappa.upper is None or kappa.lower <= truth <= kappa.upper
    assert held / tables >= 0.92


def test_unsure_counts_against_sensitivity_and_specificity():
    """Of 10 bad answers 7 fail, of 8 good ones 6 pass; the ends of the interval are where the tail has 2.5 %."""
    pairs = [
        *answers(7, 0, "fail", good=False),
        *answers(3, 0.5, "unsure", good=False),
        *answers(6, 1, "pass", good=True),
        *answers(2, 0.5, "unsure", good=True),
    ]
    found = measure(pairs, 0.95)
    assert (found.sensitivity.estimate, found.specificity.estimate) == (0.7, 0.75)
    assert found.confusion == {(False, "fail"): 7, (False, "unsure"): 3, (True, "pass"): 6, (True, "unsure"): 2}
    assert binom.sf(6, 10, found.sensitivity.lower) == pytest.approx(0.025)
    assert binom.cdf(7, 10, found.sensitivity.upper) == pytest.approx(0.025)


@given(PAIRS)
def test_any_labels_are_measured(pairs: list[LabelledScore]):
    """Estimates lie in their intervals; where there is nothing to measure there is none."""
    found = measure(pairs[:12], 0.95)
    assert (found.sensitivity.estimate is None) == all(pair.good for pair in pairs[:12])
    for measured in (found.sensitivity, found.specificity):
        if measured.estimate is not None:
            assert measured.lower <= measured.estimate <= measured.upper  # type: ignore[operator]


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


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0.4, False),
        ("Yes", True),
        ("thumbs down", False),
        (7, None),
        ("?", None),
    ],
)
def test_labels_are_read_in_the_forms_that_people_give(value: object, good: bool | None):
    """True or false, 0 to 1, and words; anything else is not a label."""
    assert read_label(value) is good
