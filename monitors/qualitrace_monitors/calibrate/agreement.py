"""How far a judge agrees with experts: confusion, Cohen's kappa, sensitivity, specificity."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap

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
        kappa: Cohen's (1960), over the answers that the judge decides; its interval is a percentile bootstrap's.
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
    experts = np.array([pair.good for pair in decided])
    judged = np.array([pair.label == "pass" for pair in decided])
    if len(set(experts)) < 2 and len(set(judged)) < 2:
        return Measured()  # of one class only, kappa is 0 / 0
    resampled = bootstrap(
        (experts, judged),
        _kappa_of,
        paired=True,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Measured(float(_kappa_of(experts, judged)), float(resampled.low), float(resampled.high))


def _kappa_of(experts: np.ndarray, judged: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return kappa along an axis; 1 for a resample whose labels are all alike on both sides, where it is 0 / 0."""
    observed = (experts == judged).mean(axis)
    good, passed = experts.mean(axis), judged.mean(axis)
    chance = good * passed + (1 - good) * (1 - passed)
    return np.where(chance < 1, (observed - chance) / np.where(chance < 1, 1 - chance, 1), 1.0)
