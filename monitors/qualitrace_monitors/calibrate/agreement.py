"""How far a judge agrees with experts: confusion, Cohen's kappa, sensitivity, specificity."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from qualitrace_monitors.calibrate.pairs import Pair
from qualitrace_monitors.judges import Label

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
        kappa: Cohen's (1960), over the answers that the judge decides; its interval is a percentile bootstrap's over
            the resamples for which it is defined. None where experts and judge know one class each: then it tells
            nothing, or is 0 / 0.
        sensitivity: share of the bad answers that the judge fails.
        specificity: share of the good answers that the judge passes.
            `unsure` counts against both. Their intervals are Clopper and Pearson's (1934).
    """

    confusion: dict[tuple[bool, Label], int]
    kappa: Measured
    sensitivity: Measured
    specificity: Measured


def measure(pairs: Sequence[Pair], confidence: float) -> Agreement:
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


def _kappa(decided: Sequence[Pair], confidence: float) -> Measured:
    cells = Counter((pair.good, pair.label == "pass") for pair in decided)
    if len(cells) < 2:
        return Measured()  # kappa is 0 / 0, or there is nothing to agree about
    table = np.array([cells[good, passed] for good in (True, False) for passed in (True, False)])
    # Pairs drawn with replacement are a table drawn from the multinomial distribution.
    resampled = np.random.default_rng(SEED).multinomial(len(decided), table / len(decided), RESAMPLES)
    tail = (1 - confidence) / 2
    lower, upper = np.nanquantile(_kappa_of(resampled), [tail, 1 - tail])
    return Measured(float(_kappa_of(table)), float(lower), float(upper))


def _kappa_of(tables: np.ndarray) -> np.ndarray:
    """Return kappa of tables (…, 4): good and passed, good and failed, bad and passed, bad and failed.

    It is NaN where it is not defined: all are good and passed, or bad and failed.
    """
    shares = tables / tables.sum(-1, keepdims=True)
    both_good, only_good, only_passed, both_bad = np.moveaxis(shares, -1, 0)
    good, passed = both_good + only_good, both_good + only_passed
    chance = good * passed + (1 - good) * (1 - passed)
    defined = np.maximum(both_good, both_bad) < 1
    return np.where(defined, (both_good + both_bad - chance) / np.where(defined, 1 - chance, 1), np.nan)
