"""Agreement against textbook values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from qualitrace_monitors.calibrate.agreement import Measured, measure
from qualitrace_monitors.calibrate.labels import LabelledScore
from qualitrace_monitors.judges.contract import Label

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
