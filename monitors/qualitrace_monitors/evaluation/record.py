"""What a run keeps in MLflow beside the traces and their assessments, and what a later run reads of it."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mlflow
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.artifacts import load_text
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.evaluation.patience import why
from qualitrace_monitors.evaluation.recorder import Recorder
from qualitrace_monitors.evaluation.result import Evaluation, ScoredRow
from qualitrace_monitors.evaluation.summary import Comparison, MetricSummary, compare

SCORES = "qualitrace/scores.json"
"""Artifact with every score of every row: what a later run is compared with."""
WORST = "qualitrace/worst_rows.json"
BINS = 20


def log(evaluation: Evaluation, params: Mapping[str, Any], recorder: Recorder) -> None:
    """Write intervals, counts, judge versions, all scores, the worst rows and a plot a metric into the run.

    What cannot be written is noted in `evaluation.unlogged`.
    """
    for what, write in _writes(evaluation, params, recorder.client):
        try:
            recorder.patiently(write)
        except Exception as error:
            evaluation.unlogged[what] = why(error)


def _writes(
    evaluation: Evaluation, params: Mapping[str, Any], client: MlflowClient
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Say what is written, and how; each may be done again."""
    run_id, worst = evaluation.run_id, evaluation.worst_rows(len(evaluation.rows))
    summaries = evaluation.metrics.values()
    yield "its numbers", lambda: client.log_batch(run_id, _numbers(evaluation), _params(evaluation, params), [])
    yield "the judges' versions", lambda: client.log_batch(run_id, tags=_tags(evaluation, bool(worst)))
    for summary in summaries:
        if summary.scored:
            figure, path = histogram(evaluation, summary), f"plots/{summary.metric}.png"
            yield path, lambda figure=figure, path=path: client.log_figure(run_id, figure, path)
    yield SCORES, lambda: client.log_dict(run_id, _scores(evaluation), SCORES)
    if worst:
        yield WORST, lambda: client.log_text(run_id, _table(worst), WORST)


def _params(evaluation: Evaluation, params: Mapping[str, Any]) -> list[Param]:
    known = {**params, "confidence": evaluation.confidence, "baseline": evaluation.baseline}
    return [Param(name, str(value)) for name, value in known.items()]


def _tags(evaluation: Evaluation, has_table: bool) -> list[RunTag]:
    tags = {f"qualitrace.judge.{name}": summary.version for name, summary in evaluation.metrics.items()}
    if has_table:  # as `log_table` tags it, which would append to the table of an earlier try
        tags[MLFLOW_LOGGED_ARTIFACTS] = json.dumps([{"path": WORST, "type": "table"}])
    return [RunTag(name, text) for name, text in tags.items()]


def _numbers(evaluation: Evaluation) -> list[Metric]:
    numbers: dict[str, float] = {"predictions_failed": len(evaluation.failures), "rows": len(evaluation.rows)}
    for summary in evaluation.metrics.values():
        numbers |= summary.run_metrics()
    for comparison in evaluation.comparisons:
        if comparison.difference is not None:
            numbers[f"{comparison.metric}/difference_to_baseline"] = comparison.difference
    now = int(time.time() * 1000)
    return [Metric(name, value, now, 0) for name, value in numbers.items()]


def _table(rows: Sequence[ScoredRow]) -> str:
    """Write rows as MLflow keeps tables (`MlflowClient.log_table`)."""
    columns = ("row", "question", "answer", "metric", "score", "why")
    cells = [
        (row.key, row.question, row.answer, row.worst[0], row.worst[1].value, row.worst[1].rationale) for row in rows
    ]
    return json.dumps({"columns": columns, "data": cells}, ensure_ascii=False)


def _scores(evaluation: Evaluation) -> dict[str, Any]:
    counts = {name: summary.counts() for name, summary in evaluation.metrics.items()}
    return {"metrics": counts, "rows": [_row(row) for row in evaluation.rows]}


def _row(row: ScoredRow) -> dict[str, Any]:
    scores = {name: {"value": score.value, "label": score.label} for name, score in row.scores.items()}
    unscored = {name: {"status": status, "reason": why} for name, (status, why) in row.unscored.items()}
    unscored |= {name: {"status": "missing", "reason": why} for name, why in row.missing.items()}
    return {"row": row.key, "trace_id": row.trace_id, "scores": scores, "unscored": unscored}


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
