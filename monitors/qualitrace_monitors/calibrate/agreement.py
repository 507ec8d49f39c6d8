"""How far a judge agrees with experts: Cohen's kappa, sensitivity and specificity, with their intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from qualitrace_monitors.calibrate.labels import LabelledScore
from qualitrace_monitors.judges.contract import Label

RESAMPLES = 2000
SEED = 20_180_703


@dataclass(frozen=True, slots=True)
class Measured:
    """An estimate with its interval; all None where nothing can be measured."""

    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a judge and the experts say of the same answers.

    Attributes:
        confusion: number of answers by (experts call it good, the judge's verdict).
        kappa: Cohen's (1960), over the answers that the judge decides; None where experts and judge know one class
            each: then it means nothing, or is 0 / 0. Its interval melds the exact ones of sensitivity, specificity and
            the share of good answers (Fay, Proschan and Brittain, Biometrics 71, 2015): it holds for rare classes.
        sensitivity: share of the bad answers that the judge fails.
        specificity: share of the good answers that the judge passes.
            `unsure` counts against both. Their intervals are Clopper and Pearson's (1934).
    """

    confusion: dict[tuple[bool, Label], int]
    kappa: Measured
    sensitivity: Measured
    specificity: Measured


def measure(pairs: Sequence[LabelledScore], confidence: float) -> Agreement:
    """Measure the agreement, with intervals of the given confidence (0 to 1)."""
    confusion: Counter[tuple[bool, Label]] = Counter((pair.good, pair.label) for pair in pairs)
    bad, good = ([pair.label for pair in pairs if pair.good is truth] for truth in (False, True))
    return Agreement(
        confusion=dict(confusion),
        kappa=_kappa([pair for pair in pairs if pair.label != "unsure"], confidence),
        sensitivity=_share(bad.count("fail"), len(bad), confidence),
        specificity=_share(good.count("pass"), len(good), confidence),
    )


def _share(count: int, total: int, confidence: float) -> Measured:
    if not total:
        return Measured()
    interval = binomtest(count, total).proportion_ci(confidence, method="exact")
    return Measured(count / total, float(interval.low), float(interval.high))


def _kappa(decided: Sequence[LabelledScore], confidence: float) -> Measured:
    cells = Counter((pair.good, pair.label == "pass") for pair in decided)
    if len(cells) < 2:
        return Measured()  # kappa is 0 / 0, or there is nothing to agree about
    good, bad = (cells[truth, True] + cells[truth, False] for truth in (True, False))
    counts = ((good, len(decided)), (cells[False, False], bad), (cells[True, True], good))
    estimate = _kappa_of(*(np.array(count / of if of else 0.0) for count, of in counts))
    tail, random = (1 - confidence) / 2, np.random.default_rng(SEED)
    bounds: list[list[float]] = []
    for side, quantile in (("lower", tail), ("upper", 1 - tail)):
        # Kappa rises with sensitivity and specificity. It may rise or fall with the share of good answers: the worse
        # of both sides of that counts.
        drawn = [_drawn(random, *count, side) for count in counts[1:]]
        shares = [_drawn(random, *counts[0], which) for which in ("lower", "upper")]
        bounds.append([float(np.nanquantile(_kappa_of(share, *drawn), quantile)) for share in shares])
    return Measured(float(estimate), min(bounds[0]), max(bounds[1]))


def _drawn(random: np.random.Generator, count: int, total: int, side: str) -> np.ndarray:
    """Draw from the distribution whose quantiles are Clopper and Pearson's lower, or upper, bounds of a share."""
    if count == (0 if side == "lower" else total):
        return np.full(RESAMPLES, float(side == "upper"))
    below = count if side == "lower" else count + 1
    return random.beta(below, total + 1 - below, RESAMPLES)


def _kappa_of(good: np.ndarray, sensitivity: np.ndarray, specificity: np.ndarray) -> np.ndarray:
    """Return kappa where a share of the answers is good, NaN where it is 0 / 0."""
    passed = good * specificity + (1 - good) * (1 - sensitivity)
    chance = good * passed + (1 - good) * (1 - passed)
    agreement = good * specificity + (1 - good) * sensitivity
    return np.where(chance < 1, (agreement - chance) / np.where(chance < 1, 1 - chance, 1), np.nan)
