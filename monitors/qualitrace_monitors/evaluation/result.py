"""The result of an evaluation: scores by row, means with intervals, differences to an earlier run, and the gate.

Intervals are those of the online estimates (Gaffke's bound; for shares exactly Clopper and Pearson's). The test of a
paired difference is the sign-flip permutation test (scipy.stats.permutation_test with permutation_type="samples").
"""

import json
import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import mode
from typing import Any, Literal, Self, get_args

import mlflow
import numpy as np
from mlflow.artifacts import load_text
from mlflow.environment_variables import MLFLOW_TRACKING_URI
from mlflow.exceptions import MlflowException
from mlflow.tracking._tracking_service.utils import _use_tracking_uri  # pyright: ignore[reportPrivateUsage]
from scipy.stats import permutation_test

from qualitrace_collector.masking import masked
from qualitrace_monitors.estimate.interval import Interval, Moments
from qualitrace_monitors.evaluation.dataset import TARGET, DataError
from qualitrace_monitors.evaluation.metrics import DESCRIPTIVE
from qualitrace_monitors.judges.contract import Judge, Score
from qualitrace_monitors.rows.score import RowJudgement

ROW_TAG = "qualitrace.row"  # tag of a trace that holds the key of its row
VERSION_TAG = "qualitrace.judge."  # prefix of a run's tags with the versions of its judges
SCORES = "qualitrace/scores.json"  # artifact with every score of every row: what a later run is compared with
SEED = 0  # of the permutations, so that a run gives the same when it is repeated
BATCH = 100  # permutations held in memory at once; all those of 5,000 rows take 3 GiB
NOTHING: Interval = (0.0, 1.0)

Quantity = Literal["mean", "pass_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """A row of the data set with its scores.

    Attributes:
        inputs: by which the application is asked again: the data's, or the question.
        scores: by metric.
        unscored: what became of the row instead, by metric.
        failure: why its answer could not be produced, else empty.
    """

    key: str
    trace_id: str
    question: str
    inputs: Mapping[str, Any]
    answer: str
    target: str | None
    scores: Mapping[str, Score]
    unscored: Mapping[str, RowJudgement]
    failure: str

    @property
    def missing(self) -> dict[str, str]:
        """Why the row's score is not in MLflow, by metric."""
        return {name: found.error for name, found in self.unscored.items() if found.status == "missing"}

    @property
    def worst(self) -> tuple[str, Score]:
        """The failed metric with the least value, and its score; only of a row that failed one."""
        return min(self.failed, key=lambda item: item[1].value)

    @property
    def failed(self) -> list[tuple[str, Score]]:
        """The metrics that it failed, with its scores."""
        return [(n, score) for n, score in self.scores.items() if score.label == "fail" and n not in DESCRIPTIVE]

    def to_dict(self) -> dict[str, Any]:
        """Return it as `SCORES` has it."""
        scores = {name: {"value": score.value, "label": score.label} for name, score in self.scores.items()}
        unscored = {name: {"status": found.status, "reason": found.error} for name, found in self.unscored.items()}
        return {"row": self.key, "trace_id": self.trace_id, "scores": scores, "unscored": unscored}


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


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of `fail_under`, with the numbers that decide it once a run has them."""

    metric: str
    quantity: Quantity
    threshold: float
    point: float | None = None
    interval: Interval = NOTHING
    missing: int = 0

    def held_against(self, summary: MetricSummary) -> Self:
        """Return the condition with what a run found."""
        point, interval = summary.quantity(self.quantity)
        return replace(self, point=point, interval=interval, missing=summary.missing)

    @property
    def verdict(self) -> Literal["below", "incomplete", "undecided", "met"]:
        """What the interval says: below when all of it is, met when none of it is, else undecided.

        The point does not count: a few rows must close no gate. Incomplete when it is not below, but rows are missing:
        they might be the bad ones.
        """
        lower, upper = self.interval
        if upper < self.threshold:
            return "below"
        if self.missing:
            return "incomplete"
        return "met" if lower >= self.threshold else "undecided"


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """What a run found; everything is in the MLflow run, too.

    Attributes:
        metrics: by name, in the order of the judges.
        comparisons: with the `baseline` run, if there is one.
        gates: what the intervals say of `fail_under`.
        tracking_uri: where the run is.
        unlogged: why something else of the run could not be written to MLflow, by what it is.
    """

    run_id: str
    tracking_uri: str
    experiment: str
    confidence: float
    rows: Sequence[ScoredRow]
    metrics: Mapping[str, MetricSummary]
    baseline: str | None = None
    comparisons: Sequence[Comparison] = ()
    gates: Sequence[Gate] = ()
    unlogged: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def passed(self) -> bool:
        """False when a gate's whole interval lies below its threshold, or when rows of its metric are missing."""
        return all(gate.verdict not in ("below", "incomplete") for gate in self.gates)

    @property
    def missing(self) -> dict[str, list[str]]:
        """Keys of the rows whose score is not in MLflow, by metric; empty when every row is accounted for."""
        return {name: keys for name in self.metrics if (keys := [row.key for row in self.rows if name in row.missing])}

    @property
    def is_complete(self) -> bool:
        """Whether MLflow has everything of the run."""
        return not self.missing and not self.unlogged

    @property
    def failures(self) -> list[str]:
        """Why answers could not be produced, one text for each row without."""
        return [row.failure for row in self.rows if row.failure]

    @property
    def unscored_gates(self) -> list[str]:
        """Metrics of gates that nothing is known of, because no row has a score."""
        return [gate.metric for gate in self.gates if not self.metrics[gate.metric].scored]

    def values(self, metric: str) -> dict[str, float]:
        """Return the values of a metric by row key."""
        return {row.key: row.scores[metric].value for row in self.rows if metric in row.scores}

    def worst_rows(self, limit: int) -> list[ScoredRow]:
        """Return the rows that a judge failed, the worst first."""
        return sorted((row for row in self.rows if row.failed), key=lambda row: row.worst[1].value)[:limit]

    def save_worst_rows(self, name: str, limit: int = 50) -> Any:
        """Add the worst rows to the MLflow evaluation data set `name`, which is made if there is none.

        Returns:
            MLflow's data set.

        Raises:
            DataError: no row failed.
        """
        from mlflow.genai.datasets import create_dataset, search_datasets

        if not (rows := self.worst_rows(limit)):
            raise DataError("no row failed: there is nothing to save")
        records = [
            {
                "inputs": dict(row.inputs),
                "expectations": {} if row.target is None else {TARGET: row.target},
                "tags": {ROW_TAG: row.key},
            }
            for row in rows
        ]
        with tracking(self.tracking_uri):
            found = search_datasets(filter_string=f"name = '{name}'")
            experiment = mlflow.get_experiment_by_name(self.experiment)
            dataset = found[0] if found else create_dataset(name, [experiment.experiment_id] if experiment else None)
            return dataset.merge_records(records)


class EarlierRun:
    """An earlier run's scores by row, and the versions of its judges.

    Raises:
        DataError: there is no such run, or it is none of `evaluate`.
    """

    def __init__(self, run_id: str) -> None:
        try:
            self._tags = mlflow.get_run(run_id).data.tags
            self._rows = json.loads(load_text(f"runs:/{run_id}/{SCORES}"))["rows"]
        except (MlflowException, OSError) as error:
            reason = masked(str(error))
            raise DataError(f"`baseline` {run_id}: no evaluation by qualitrace that MLflow knows: {reason}") from error

    def compare(self, evaluation: Evaluation, summary: MetricSummary) -> Comparison:
        """Compare a metric, where the same version of the judge scored both: two versions have no common scale."""
        name = summary.metric
        version = self._tags.get(f"{VERSION_TAG}{name}")
        if version is None:
            return Comparison(metric=name, reason="not in the earlier run")
        if version != summary.version:
            return Comparison(metric=name, reason=f"judge changed ({version} then, {summary.version} now)")
        before = {row["row"]: row["scores"][name]["value"] for row in self._rows if name in row["scores"]}
        return compare(name, evaluation.values(name), before, evaluation.confidence)


@contextmanager
def tracking(uri: str | None) -> Generator[None]:
    """Use a tracking URI of MLflow in the block, and the caller's again afterwards; None changes nothing."""
    if uri is None:
        yield
        return
    before = os.environ.get(MLFLOW_TRACKING_URI.name)
    try:
        with _use_tracking_uri(uri):
            yield
    finally:  # MLflow takes the variable away with the URI
        if before is not None:
            os.environ[MLFLOW_TRACKING_URI.name] = before
