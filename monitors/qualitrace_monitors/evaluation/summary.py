"""What the scores of a run say: means with their intervals, the difference to an earlier run, and the gate.

Intervals are those of the online estimates (Gaffke's bound; for shares exactly Clopper and Pearson's). The test of a
paired difference is the sign-flip permutation test (scipy.stats.permutation_test with permutation_type="samples").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mode
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import permutation_test

from qualitrace_monitors.estimate.interval import Interval, Moments
from qualitrace_monitors.judges import Judge
from qualitrace_monitors.rows.score import Result

Quantity = Literal["mean", "pass_rate"]

SEED = 0
"""Of the permutations, so that a run says the same when it is repeated."""
BATCH = 100
"""Permutations held in memory at once; all those of 5,000 rows take 3 GiB."""
NOTHING: Interval = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """How one metric came out.

    Attributes:
        read, scored, not_applicable, failed: rows.
        missing: rows whose score is not in MLflow; they are in no other number but `read`, which is the sum of all.
        mean: of the values, None without any; `mean_interval` at the run's confidence.
        pass_rate: share of passes among passes and fails; None when every score is `unsure`.
        pass_rate_interval: from the lower bound with all `unsure` failing to the upper with all passing.
        unsure_share: of the scored rows.
        tokens, cost_usd: what models took.
        reason: the most frequent one of the rows without a score.
    """

    metric: str
    tier: str
    version: str
    read: int
    scored: int
    not_applicable: int
    failed: int
    missing: int
    mean: float | None
    mean_interval: Interval
    pass_rate: float | None
    pass_rate_interval: Interval
    unsure_share: float
    tokens: int
    cost_usd: float
    reason: str = ""

    def quantity(self, name: Quantity) -> tuple[float | None, Interval]:
        """Return the point and the interval of `mean` or `pass_rate`."""
        return (self.mean, self.mean_interval) if name == "mean" else (self.pass_rate, self.pass_rate_interval)

    def run_metrics(self) -> dict[str, float]:
        """Return the numbers as MLflow keeps them."""
        numbers: dict[str, float] = {f"{self.metric}/{key}": count for key, count in self.counts().items()}
        if self.scored:
            numbers[f"{self.metric}/unsure_share"] = self.unsure_share
            for name in get_args(Quantity):
                point, (lower, upper) = self.quantity(name)
                numbers |= {f"{self.metric}/{name}_lower": lower, f"{self.metric}/{name}_upper": upper}
                numbers |= {} if point is None else {f"{self.metric}/{name}": point}
        return numbers

    def counts(self) -> dict[str, int]:
        """Return how many rows were read, and what became of them."""
        return {name: getattr(self, name) for name in _COUNTS}


_COUNTS = ("read", "scored", "not_applicable", "failed", "missing")


def summarize(judge: Judge, results: Sequence[Result], confidence: float, missing: int = 0) -> MetricSummary:
    """Sum up one judge's results over the rows of a run; those of `missing` rows are not among them."""
    scores = [result.score for result in results if result.score is not None]
    labels = [score.label for score in scores]
    decided = len(labels) - labels.count("unsure")
    intervals = (NOTHING, NOTHING)
    if scores:
        passed, not_failed = (Moments.of([float(label in kept) for label in labels]) for kept in _KEPT)
        mean_interval = Moments.of([score.value for score in scores]).interval(confidence)
        intervals = (mean_interval, (passed.interval(confidence)[0], not_failed.interval(confidence)[1]))
    return MetricSummary(
        metric=judge.name,
        tier=judge.tier,
        version=judge.version,
        read=len(results) + missing,
        scored=len(scores),
        not_applicable=sum(result.status == "not_applicable" for result in results),
        failed=sum(result.status == "failed" for result in results),
        missing=missing,
        mean=sum(score.value for score in scores) / len(scores) if scores else None,
        mean_interval=intervals[0],
        pass_rate=labels.count("pass") / decided if decided else None,
        pass_rate_interval=intervals[1],
        unsure_share=labels.count("unsure") / len(scores) if scores else 0.0,
        tokens=sum(score.input_tokens + score.output_tokens for score in scores),
        cost_usd=sum(score.cost_usd or 0.0 for score in scores),
        reason=mode(errors) if (errors := [result.error for result in results if result.score is None]) else "",
    )


_KEPT = (("pass",), ("pass", "unsure"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A metric beside the same rows of an earlier run.

    Attributes:
        pairs: rows that both runs scored.
        difference: mean of (this run's value - the earlier one's), with its interval; None without pairs.
        p_value: two-sided, of no difference.
        reason: why there is nothing to compare, else empty.
    """

    metric: str
    pairs: int = 0
    difference: float | None = None
    interval: Interval = (-1.0, 1.0)
    p_value: float | None = None
    reason: str = ""


def compare(metric: str, now: Mapping[str, float], before: Mapping[str, float], confidence: float) -> Comparison:
    """Compare the values of two runs by row key; each between 0 and 1."""
    keys = [key for key in now if key in before]
    if not keys:
        return Comparison(metric=metric, reason="no row was scored in both runs")
    differences = np.array([now[key] - before[key] for key in keys])
    moments = Moments.of([float(value) for value in (differences + 1) / 2])  # -1 … 1 brought to 0 … 1
    lower, upper = moments.interval(confidence)
    return Comparison(
        metric=metric,
        pairs=len(keys),
        difference=float(differences.mean()),
        interval=(2 * lower - 1, 2 * upper - 1),
        p_value=_p_value(differences),
    )


def _p_value(differences: Any) -> float:
    if not differences.any():
        return 1.0
    test = permutation_test(
        (differences,), np.mean, permutation_type="samples", batch=BATCH, rng=np.random.default_rng(SEED)
    )
    return float(test.pvalue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One condition of `fail_under`, and what the interval says of it; `missing` rows might say otherwise."""

    metric: str
    quantity: Quantity
    threshold: float
    point: float | None
    interval: Interval
    missing: int = 0

    @property
    def verdict(self) -> Literal["below", "incomplete", "undecided", "met"]:
        """Below when the whole interval is, met when none of it is, else undecided, as without any score.

        Incomplete when it is not below, but rows are missing: they might be the bad ones.
        """
        lower, upper = self.interval
        if upper < self.threshold:
            return "below"
        if self.missing:
            return "incomplete"
        return "met" if lower >= self.threshold else "undecided"
