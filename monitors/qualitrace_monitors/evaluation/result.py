"""What an evaluation found: the rows with their scores, the summaries, and what to do with the worst rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mlflow

from qualitrace_monitors.evaluation.dataset import TARGET, DataError
from qualitrace_monitors.evaluation.reference import DESCRIPTIVE
from qualitrace_monitors.evaluation.summary import Comparison, Gate, MetricSummary
from qualitrace_monitors.evaluation.tracking import tracking
from qualitrace_monitors.judges import Score

ROW_TAG = "qualitrace.row"
"""Tag of a trace that holds the key of its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """A row of the data set with its scores.

    Attributes:
        scores: by metric.
        unscored: what became of the row instead, and why, by metric.
        missing: why the row's score is not in MLflow, by metric.
        failure: why its answer could not be produced, else empty.
    """

    key: str
    trace_id: str
    question: str
    answer: str
    target: str | None
    scores: Mapping[str, Score]
    unscored: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    failure: str = ""

    @property
    def worst(self) -> tuple[str, Score]:
        """The failed metric with the least value, and its score; only of a row that `is_bad`."""
        return min(self._failed(), key=lambda item: item[1].value)

    @property
    def is_bad(self) -> bool:
        """Whether a judge failed it."""
        return bool(self._failed())

    def _failed(self) -> list[tuple[str, Score]]:
        return [(n, score) for n, score in self.scores.items() if score.label == "fail" and n not in DESCRIPTIVE]


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
    gates: list[Gate] = field(default_factory=list[Gate])
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
        return sorted((row for row in self.rows if row.is_bad), key=lambda row: row.worst[1].value)[:limit]

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
        with tracking(self.tracking_uri):
            found = search_datasets(filter_string=f"name = '{name}'")
            experiment = mlflow.get_experiment_by_name(self.experiment)
            dataset = found[0] if found else create_dataset(name, [experiment.experiment_id] if experiment else None)
            return dataset.merge_records([_record(row) for row in rows])


def _record(row: ScoredRow) -> dict[str, Any]:
    expectations = {} if row.target is None else {TARGET: row.target}
    return {"inputs": {"question": row.question}, "expectations": expectations, "tags": {ROW_TAG: row.key}}
