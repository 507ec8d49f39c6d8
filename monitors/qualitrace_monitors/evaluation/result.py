"""The result of an evaluation: scores by row, the figures of each metric, and the gate."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import mlflow
from mlflow.environment_variables import MLFLOW_TRACKING_URI
from mlflow.tracking._tracking_service.utils import _use_tracking_uri  # pyright: ignore[reportPrivateUsage]

from qualitrace_monitors.estimate.interval import Interval
from qualitrace_monitors.evaluation.comparison import Comparison
from qualitrace_monitors.evaluation.dataset import TARGET, DataError
from qualitrace_monitors.evaluation.metrics import DESCRIPTIVE
from qualitrace_monitors.evaluation.summary import NOTHING, MetricSummary, Quantity
from qualitrace_monitors.judges.contract import Score
from qualitrace_monitors.rows.score import RowJudgement

ROW_TAG = "qualitrace.row"  # tag of a trace that holds the key of its row


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


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of `fail_under`, with the numbers that decide it once a run has them."""

    metric: str
    quantity: Quantity
    threshold: float
    point: float | None = None
    interval: Interval = NOTHING
    missing: int = 0

    @property
    def name(self) -> str:
        """What the condition is on, as `fail_under` names it."""
        return self.metric if self.quantity == "mean" else f"{self.metric}.{self.quantity}"

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
