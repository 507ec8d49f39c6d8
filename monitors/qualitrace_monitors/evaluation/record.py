"""What a run keeps in MLflow beside the traces and their assessments, and what a later run reads of it."""

import json
from collections.abc import Mapping
from typing import Any

import mlflow
from matplotlib.figure import Figure
from mlflow.artifacts import load_text
from mlflow.exceptions import MlflowException

from qualitrace_monitors.evaluation.result import Evaluation, ScoredRow
from qualitrace_monitors.evaluation.rows import DataError
from qualitrace_monitors.evaluation.summary import Comparison, MetricSummary, compare

SCORES = "qualitrace/scores.json"
"""Artifact with every score of every row: what a later run is compared with."""
WORST = "qualitrace/worst_rows.json"
BINS = 20


def log(evaluation: Evaluation, params: Mapping[str, Any]) -> None:
    """Write intervals, counts, judge versions, all scores, the worst rows and a plot a metric into the active run."""
    mlflow.log_params({**params, "confidence": evaluation.confidence, "baseline": evaluation.baseline})
    mlflow.set_tags({f"qualitrace.judge.{name}": summary.version for name, summary in evaluation.metrics.items()})
    mlflow.log_metrics({"predictions_failed": len(evaluation.failures), "rows": len(evaluation.rows)})
    for summary in evaluation.metrics.values():
        mlflow.log_metrics(summary.run_metrics())
        if summary.scored:
            mlflow.log_figure(histogram(evaluation, summary), f"plots/{summary.metric}.png")
    for comparison in evaluation.comparisons:
        if comparison.difference is not None:
            mlflow.log_metric(f"{comparison.metric}/difference_to_baseline", comparison.difference)
    mlflow.log_dict({"rows": [_row(row) for row in evaluation.rows]}, SCORES)
    if worst := evaluation.worst_rows(len(evaluation.rows)):
        columns = ("row", "question", "answer", "metric", "score", "why")
        cells = [
            (row.key, row.question, row.answer, row.worst[0], row.worst[1].value, row.worst[1].rationale)
            for row in worst
        ]
        mlflow.log_table(
            {name: list(column) for name, column in zip(columns, zip(*cells, strict=True), strict=True)}, WORST
        )


def _row(row: ScoredRow) -> dict[str, Any]:
    scores = {name: {"value": score.value, "label": score.label} for name, score in row.scores.items()}
    return {"row": row.key, "trace_id": row.trace_id, "scores": scores}


def histogram(evaluation: Evaluation, summary: MetricSummary) -> Figure:
    """Draw how the values of a metric are spread, with their mean and its interval."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(list(evaluation.values(summary.metric).values()), bins=BINS, range=(0, 1), color="#4878a8")
    if summary.mean is not None:
        axes.axvspan(*summary.mean_interval, alpha=0.2, color="#c44e52")
        axes.axvline(summary.mean, color="#c44e52")
    axes.set(title=f"{summary.metric} ({summary.scored} rows)", xlabel="score (1 is good)", ylabel="rows", xlim=(0, 1))
    return figure


class Earlier:
    """An earlier run's scores by row, and the versions of its judges."""

    def __init__(self, versions: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
        self.versions = versions
        self._rows = rows

    def values(self, metric: str) -> dict[str, float]:
        """Return the values of a metric by row key."""
        return {row["row"]: row["scores"][metric]["value"] for row in self._rows if metric in row["scores"]}


def earlier_scores(run_id: str) -> Earlier:
    """Read what an earlier run found.

    Raises:
        DataError: there is no such run, or it is none of `evaluate`.
    """
    try:
        tags = mlflow.get_run(run_id).data.tags
        rows = json.loads(load_text(f"runs:/{run_id}/{SCORES}"))["rows"]
    except (MlflowException, OSError) as error:
        raise DataError(f"baseline {run_id}: no evaluation by qualitrace that MLflow knows: {error}") from error
    prefix = "qualitrace.judge."
    return Earlier({name.removeprefix(prefix): text for name, text in tags.items() if name.startswith(prefix)}, rows)


def compare_with(evaluation: Evaluation, earlier: Earlier) -> list[Comparison]:
    """Compare each metric with an earlier run, where the same version of the judge scored both."""
    found: list[Comparison] = []
    for name, summary in evaluation.metrics.items():
        version = earlier.versions.get(name)
        if version == summary.version:
            found.append(compare(name, evaluation.values(name), earlier.values(name), evaluation.confidence))
            continue
        reason = (
            "not in the earlier run" if version is None else f"judge changed ({version} then, {summary.version} now)"
        )
        found.append(Comparison(metric=name, reason=reason))
    return found
