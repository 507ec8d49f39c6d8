"""Writes an evaluation run to MLflow, retries while MLflow is busy, and reports what could not be written.

MLflow's own harness (mlflow/genai/evaluation/harness.py) logs a warning when it cannot write a trace or an assessment,
and leaves the row out of its result. This one writes the same things: the run's type, its data set, and a trace for
each row, linked to the run, with the scores and the expected answer as assessments that name the run. Every write can
be repeated safely.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, TypeVar

import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import (
    Assessment,
    AssessmentError,
    AssessmentSource,
    AssessmentSourceType,
    DatasetInput,
    Expectation,
    Feedback,
    Metric,
    Param,
    RunTag,
    TraceInfo,
)
from mlflow.entities import Dataset as DatasetEntity
from mlflow.tracing.client import TracingClient
from mlflow.tracing.constant import AssessmentMetadataKey, TraceMetadataKey
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import (
    MLFLOW_LOGGED_ARTIFACTS,
    MLFLOW_RUN_TYPE,
    MLFLOW_RUN_TYPE_GENAI_EVALUATE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from qualitrace_collector.mlflow_store.connection import mlflow_store
from qualitrace_collector.mlflow_store.experiments import find_or_create
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_monitors.evaluation.comparison import SCORES, VERSION_TAG
from qualitrace_monitors.evaluation.dataset import TARGET
from qualitrace_monitors.evaluation.patience import REFUSALS, Patience, why
from qualitrace_monitors.evaluation.result import ROW_TAG, Evaluation, ScoredRow
from qualitrace_monitors.evaluation.summary import MetricSummary
from qualitrace_monitors.evaluation.traces import RowTrace
from qualitrace_monitors.judges.contract import Judge
from qualitrace_monitors.judging.assessments import ID_PREFIX, feedback_of, source_of
from qualitrace_monitors.rows.score import RowJudgement

BATCH = 50  # rows written at once; MLflow links at most 100 traces at once
# Batches in flight to a server, which takes assessments one by one; a database has one writer.
SERVER_WRITERS = 8
WORST = "qualitrace/worst_rows.json"
BINS = 20
_MADE_BY = (MLFLOW_USER, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE)  # what MLflow's UI shows of a trace's origin

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Judgements = dict[tuple[str, str], RowJudgement]  # by row key and judge


class RunWriter:
    """Writes one evaluation run into MLflow.

    Args:
        tracking_uri: MLflow's.
        experiment: its name; made if there is none.

    Raises:
        StoreUnavailable, MlflowException: MLflow cannot be used.
    """

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        self.tracking_uri = tracking_uri
        self._store = TraceStore(tracking_uri, "", experiment)
        self._patiently = Patience(self._store)
        found = self._patiently.first(lambda: find_or_create(mlflow_store(tracking_uri), experiment))
        self.experiment_id = str(found.experiment_id)
        self._client = self._patiently.first(lambda: MlflowClient(tracking_uri))
        self.run_id = ""

    def start(self, name: str | None, rows: pd.DataFrame) -> None:
        """Make the run, which MLflow's UI shows among the evaluation runs.

        Raises:
            StoreUnavailable, MlflowException: MLflow cannot be used.
        """
        self._tags = resolve_tags({MLFLOW_RUN_TYPE: MLFLOW_RUN_TYPE_GENAI_EVALUATE})
        run = self._patiently.first(lambda: self._client.create_run(self.experiment_id, tags=self._tags, run_name=name))
        self.run_id = run.info.run_id
        about = from_pandas(rows, name="dataset").to_dict()
        fields = ("name", "digest", "source_type", "source", "schema", "profile")
        source = DatasetInput(dataset=DatasetEntity(**{name: about[name] for name in fields if name in about}))
        self._patiently(lambda: self._client.log_inputs(self.run_id, [source]))

    def save(
        self,
        traces: Sequence[RowTrace],
        judges: Sequence[Judge],
        judgements: Judgements,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Judgements:
        """Write the traces with their assessments, linked to the run; return those that are missing, and why.

        Args:
            progress: gets how many traces have been written.
        """
        missing: Judgements = {}
        writers = SERVER_WRITERS if self.tracking_uri.startswith("http") else 1
        with ThreadPoolExecutor(writers) as pool:
            batches = [traces[start : start + BATCH] for start in range(0, len(traces), BATCH)]
            for number, part in enumerate(pool.map(self._save, batches, repeat(judges), repeat(judgements)), 1):
                missing |= part
                progress(min(number * BATCH, len(traces)))
        return missing

    def finish(self, evaluation: Evaluation, params: Mapping[str, Any]) -> None:
        """Write intervals, counts, judge versions, all scores, the worst rows and a plot a metric, and end the run.

        What cannot be written is noted in `evaluation.unlogged`.
        """
        for what, write in self._closing_writes(evaluation, params):
            try:
                self._patiently(write)
            except Exception as error:
                evaluation.unlogged[what] = why(error)

    def fail(self) -> None:
        """End the run as failed.

        Raises:
            StoreUnavailable, Exception: MLflow is away or refuses it.
        """
        self._patiently(lambda: self._client.set_terminated(self.run_id, "FAILED"))

    def _save(self, traces: Sequence[RowTrace], judges: Sequence[Judge], judgements: Judgements) -> Judgements:
        refused = self._save_traces(traces)
        written = [trace for trace in traces if trace.row.key not in refused]
        scores = {
            (trace.row.key, judge.name): self._about(trace, judge.name, _feedback(judge, judgement))
            for trace in written
            for judge in judges
            if (judgement := judgements[trace.row.key, judge.name]).status != "not_applicable"
        }
        expected = [self._about(trace, None, target) for trace in written if (target := self._expectation(trace))]
        errors = self._save_assessments([*scores.values(), *expected])
        why_missing = {(key, judge.name): text for key, text in refused.items() for judge in judges}
        why_missing |= {pair: errors[own] for pair, score in scores.items() if (own := _id(score)) in errors}
        return {pair: RowJudgement(status="missing", error=text) for pair, text in why_missing.items()}

    def _save_traces(self, traces: Sequence[RowTrace], tries: int = REFUSALS) -> dict[str, str]:
        """Write traces, or link those that are there; return why some could not be, by row key."""
        try:
            self._patiently(lambda: self._write(traces), tries)
            return {}
        except StoreUnavailable as error:
            return {trace.row.key: why(error) for trace in traces}
        except Exception as error:
            if len(traces) == 1:
                return {traces[0].row.key: why(error)}
            middle = len(traces) // 2
            return self._save_traces(traces[:middle], 1) | self._save_traces(traces[middle:], 1)

    def _write(self, traces: Sequence[RowTrace]) -> None:
        """Write traces as MLflow's exporter does (mlflow/tracing/export/mlflow_v3.py)."""
        store: Any = mlflow_store(self.tracking_uri)  # some of its methods declare no result
        new = [trace for trace in traces if trace.is_new]
        store.log_spans(self.experiment_id, [span for trace in new for span in trace.trace.data.spans])
        for trace in new:
            self._add_files(trace, store.start_trace(self._labelled(trace)))
        for trace in traces:
            if not trace.is_new:
                store.set_trace_tag(trace.trace_id, ROW_TAG, trace.row.key)
        store.link_traces_to_run([trace.trace_id for trace in traces], self.run_id)

    def _add_files(self, trace: RowTrace, info: TraceInfo) -> None:
        """Upload images and the like that the application's spans hold; MLflow warns if it cannot."""
        files = {name: file for span in trace.trace.data.spans for name, file in span._attachments.items()}  # pyright: ignore[reportPrivateUsage]
        if files:
            TracingClient(self.tracking_uri)._upload_attachments(info, files)  # pyright: ignore[reportPrivateUsage]

    def _labelled(self, trace: RowTrace) -> TraceInfo:
        info = trace.trace.info
        made_by = {name: self._tags[name] for name in _MADE_BY if name in self._tags}
        info.trace_metadata = made_by | info.trace_metadata | {TraceMetadataKey.SOURCE_RUN: self.run_id}
        info.tags[ROW_TAG] = trace.row.key
        return info

    def _about(self, trace: RowTrace, judge: str | None, assessment: Assessment) -> Assessment:
        """Put an assessment on its trace; its id is the same when it is written again."""
        parts = "\0".join((self.run_id, trace.row.key, judge or "", assessment.name))
        assessment.assessment_id = ID_PREFIX + hashlib.sha256(parts.encode()).hexdigest()[:40]
        assessment.trace_id = trace.trace_id
        assessment.span_id = next((span.span_id for span in trace.trace.data.spans if span.parent_id is None), None)
        assessment.metadata = {**(assessment.metadata or {}), AssessmentMetadataKey.SOURCE_RUN_ID: self.run_id}
        return assessment

    def _expectation(self, trace: RowTrace) -> Expectation | None:
        """Make the expected answer's assessment, unless a recorded trace has it already."""
        known = any(item.expectation and item.name == TARGET for item in trace.trace.info.assessments)
        if trace.row.target is None or known:
            return None
        user = self._tags.get(MLFLOW_USER, "unknown")
        person = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id=user)
        return Expectation(name=TARGET, value=trace.row.target, source=person)

    def _save_assessments(self, assessments: Sequence[Assessment]) -> dict[str, str]:
        try:
            errors = self._patiently(lambda: self._store.save_assessments(assessments))
        except StoreUnavailable as error:
            return {_id(assessment): why(error) for assessment in assessments}
        return {name: why(error) for name, error in errors.items()}

    def _closing_writes(
        self, evaluation: Evaluation, params: Mapping[str, Any]
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield what is written last, by its name in reports."""
        client, run_id, worst = self._client, self.run_id, evaluation.worst_rows(len(evaluation.rows))
        known = {**params, "confidence": evaluation.confidence, "baseline": evaluation.baseline}
        about = [Param(name, str(value)) for name, value in known.items() if value is not None]
        yield "its numbers", lambda: client.log_batch(run_id, _numbers(evaluation), about, [])
        tags = {f"{VERSION_TAG}{name}": summary.version for name, summary in evaluation.metrics.items()}
        if worst:  # as `log_table` tags it, which would append to the table of an earlier try
            tags[MLFLOW_LOGGED_ARTIFACTS] = json.dumps([{"path": WORST, "type": "table"}])
        run_tags = [RunTag(name, text) for name, text in tags.items()]
        yield "the judges' versions", lambda: client.log_batch(run_id, tags=run_tags)
        for summary in evaluation.metrics.values():
            if summary.scored:
                figure, path = _histogram(evaluation, summary), f"plots/{summary.metric}.png"
                yield path, lambda figure=figure, path=path: client.log_figure(run_id, figure, path)
        yield SCORES, lambda: client.log_dict(run_id, _scores(evaluation), SCORES)
        if worst:
            yield WORST, lambda: client.log_text(run_id, _table(worst), WORST)
        yield "its end", lambda: client.set_terminated(run_id, "FINISHED")


def _id(assessment: Assessment) -> str:
    return str(assessment.assessment_id)


def _feedback(judge: Judge, judgement: RowJudgement) -> Feedback:
    if judgement.score is not None:
        return feedback_of(judge, judgement.score)
    error = AssessmentError(error_code="JUDGE_FAILED", error_message=judgement.error)
    return Feedback(name=judge.name, source=source_of(judge), error=error)


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
    return {"metrics": counts, "rows": [row.to_dict() for row in evaluation.rows]}


def _histogram(evaluation: Evaluation, summary: MetricSummary) -> Figure:
    """Draw how the values of a metric are spread, with their mean and its interval."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.hist(list(evaluation.values(summary.metric).values()), bins=BINS, range=(0, 1), color="#4878a8")
    if summary.mean is not None:
        axes.axvspan(*summary.mean_interval, alpha=0.2, color="#c44e52")
        axes.axvline(summary.mean, color="#c44e52")
    axes.set(title=f"{summary.metric} ({summary.scored} rows)", xlabel="score (1 is good)", ylabel="rows", xlim=(0, 1))
    return figure
