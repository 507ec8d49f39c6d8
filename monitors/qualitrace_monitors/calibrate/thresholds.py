"""Fits thresholds whose error is bounded.

The share of verdicts beyond a fitted threshold that disagree with experts is at most `target_error`. Thresholds are
fitted by fixed-sequence testing, after Jung, Brahman and Choi, "Trust or Escalate" (arXiv 2407.18370): they are tried
from the most to the least selective; each is tested, by an exact binomial test on the labelled answers beyond it,
against the hypothesis that experts disagree with more than `target_error` of its verdicts; the first that is not
refuted ends the sequence, and the last before it is taken, or, where both sides could decide, an earlier one. All
tests of a side together err with probability `delta` at most.

The grid is fixed before the labels are seen, as the proof wants. Thresholds beyond which there are too few answers for
any test are skipped; for that step the surer of two values must not be the one that is wrong more often.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binom

from qualitrace_monitors.calibrate.labels import LabelledScore

STEPS = 100  # thresholds are multiples of 1 / STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedThreshold:
    """The threshold of one verdict.

    Attributes:
        threshold: pass from it on, or fail up to it; None if no threshold keeps the bound.
        verdicts: labelled answers beyond it.
        errors: those of them where experts say otherwise.
    """

    threshold: float | None = None
    verdicts: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdFit:
    """Both sides: with probability `confidence` each disagrees with experts in `target_error` of its verdicts at most.

    Attributes:
        needed: the fewest verdicts of a side with which a bound can be shown at all (none of them wrong).
        coverage: share of the labelled answers that get a verdict; the others are unsure.
    """

    target_error: float
    confidence: float
    needed: int
    passing: FittedThreshold
    failing: FittedThreshold
    coverage: float


def labels_needed(target_error: float, delta: float) -> int:
    """Return the smallest n with (1 - target_error)^n ≤ delta: n answers without an error pass the test."""
    n = math.ceil(math.log(delta) / math.log1p(-target_error))
    return n if (1 - target_error) ** n <= delta else n + 1


def fit(pairs: Sequence[LabelledScore], target_error: float, confidence: float) -> ThresholdFit:
    """Fit both sides, each with half of the error probability 1 - `confidence` (Bonferroni)."""
    delta = (1 - confidence) / 2  # both sides together err with probability 1 - confidence at most
    values = np.array([pair.value for pair in pairs])
    good = np.array([pair.good for pair in pairs], dtype=bool)
    passing, failing = _chosen(
        _fit(values, ~good, target_error, delta, "pass"), _fit(values, good, target_error, delta, "fail")
    )
    return ThresholdFit(
        target_error=target_error,
        confidence=confidence,
        needed=labels_needed(target_error, delta),
        passing=passing,
        failing=failing,
        coverage=(passing.verdicts + failing.verdicts) / len(pairs) if pairs else 0.0,
    )


def _chosen(
    passing: Mapping[int, FittedThreshold], failing: Mapping[int, FittedThreshold]
) -> tuple[FittedThreshold, FittedThreshold]:
    """Take the last threshold of each side; where they overlap, the two neighbours with the fewest errors.

    Of several such pairs the middle one is taken. All passed their tests, so that the bound holds for any choice.
    """
    if not passing or not failing or min(passing) > max(failing):
        return (
            passing[min(passing)] if passing else FittedThreshold(),
            failing[max(failing)] if failing else FittedThreshold(),
        )
    pairs = [(passing[step], failing[step - 1]) for step in sorted(passing) if step - 1 in failing]
    if not pairs:
        return passing[min(passing)], FittedThreshold()
    errors = [above.errors + below.errors for above, below in pairs]
    best = [pair for pair, count in zip(pairs, errors, strict=True) if count == min(errors)]
    return best[len(best) // 2]


def _fit(
    values: np.ndarray, wrong: np.ndarray, target_error: float, delta: float, verdict: Literal["pass", "fail"]
) -> Mapping[int, FittedThreshold]:
    """Return the thresholds that passed their tests, by step."""
    needed, fitted = labels_needed(target_error, delta), dict[int, FittedThreshold]()
    steps = range(STEPS, -1, -1) if verdict == "pass" else range(STEPS + 1)
    for step in steps:
        side = _side(values, wrong, step / STEPS, verdict)
        if side.verdicts < needed:  # no test could refute; thresholds less selective may have enough
            continue
        if binom.cdf(side.errors, side.verdicts, target_error) > delta:
            break
        fitted[step] = side
    return fitted


def _side(values: np.ndarray, wrong: np.ndarray, threshold: float, verdict: Literal["pass", "fail"]) -> FittedThreshold:
    beyond = values >= threshold if verdict == "pass" else values <= threshold
    return FittedThreshold(threshold=threshold, verdicts=int(beyond.sum()), errors=int((beyond & wrong).sum()))
