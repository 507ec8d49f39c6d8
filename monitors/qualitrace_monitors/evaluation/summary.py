"""What a run says of one metric: its mean and pass rate with their intervals, and how many rows lack a score.

Intervals are those of the online estimates (Gaffke's bound; for shares exactly Clopper and Pearson's).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mode
from typing import Literal, get_args

from qualitrace_monitors.estimate.interval import Interval, Moments
from qualitrace_monitors.judges.contract import Judge
from qualitrace_monitors.rows.score import RowJudgement

NOTHING: Interval = (0.0, 1.0)

Quantity = Literal["mean", "pass_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """The numbers of one metric.

    Attributes:
        read, scored, not_applicable, failed: rows.
        missing: rows whose score is not in MLflow; they are in no other number but `read`, which is the sum of all.
        mean: of the values, None without any; `mean_interval` at the run's confidence.
        pass_rate: share of passes among passes and fails; None when every score is `unsure`.
        pass_rate_interval: from the lower bound with all `unsure` failing to the upper with all passing.
        unsure_share: of the scored rows.
        tokens, cost_usd: what models took.
        reason: why rows have no score; the most frequent reason.
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
        return {name: getattr(self, name) for name in ("read", "scored", "not_applicable", "failed", "missing")}


def summarize(judge: Judge, judgements: Sequence[RowJudgement], confidence: float) -> MetricSummary:
    """Sum up one judge's judgements over the rows of a run."""
    scores = [judgement.score for judgement in judgements if judgement.score is not None]
    labels = [score.label for score in scores]
    decided = len(labels) - labels.count("unsure")
    mean_interval = pass_rate_interval = NOTHING
    if scores:
        # Unsure values count in the mean, too; the pass rate lies between all of them failing and all passing.
        mean_interval = Moments.of([score.value for score in scores]).interval(confidence)
        lower, _ = Moments.of([float(label == "pass") for label in labels]).interval(confidence)
        _, upper = Moments.of([float(label != "fail") for label in labels]).interval(confidence)
        pass_rate_interval = (lower, upper)
    counts = Counter(judgement.status for judgement in judgements)
    errors = [judgement.error for judgement in judgements if judgement.status in ("not_applicable", "failed")]
    return MetricSummary(
        metric=judge.name,
        tier=judge.tier,
        version=judge.version,
        read=len(judgements),
        scored=len(scores),
        not_applicable=counts["not_applicable"],
        failed=counts["failed"],
        missing=counts["missing"],
        mean=sum(score.value for score in scores) / len(scores) if scores else None,
        mean_interval=mean_interval,
        pass_rate=labels.count("pass") / decided if decided else None,
        pass_rate_interval=pass_rate_interval,
        unsure_share=labels.count("unsure") / len(scores) if scores else 0.0,
        tokens=sum(score.usage.tokens for score in scores),
        cost_usd=sum(score.cost_usd or 0.0 for score in scores),
        reason=mode(errors) if errors else "",
    )
