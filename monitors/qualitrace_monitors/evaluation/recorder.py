"""An evaluation run of MLflow: it is written with patience, and what could not be written is reported.

MLflow's own harness (mlflow/genai/evaluation/harness.py) logs a warning when it cannot write a trace or an assessment,
and leaves the row out of its result. This one leaves the same behind: the run's type, its data set, and a trace for
each row, linked to the run, with the scores and the expected answer as assessments that name the run.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import pandas as pd
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
    TraceInfo,
)
from mlflow.entities import Dataset as DatasetEntity
from mlflow.tracing.client import TracingClient
from mlflow.tracing.constant import AssessmentMetadataKey, TraceMetadataKey
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import (
    MLFLOW_RUN_TYPE,
    MLFLOW_RUN_TYPE_GENAI_EVALUATE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from qualitrace_collector.mlflow_store.experiments import find_or_create
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore, mlflow_store
from qualitrace_monitors.evaluation.dataset import TARGET
from qualitrace_monitors.evaluation.patience import REFUSALS, Patience, why
from qualitrace_monitors.evaluation.result import ROW_TAG
from qualitrace_monitors.evaluation.scoring import Results
from qualitrace_monitors.evaluation.traces import RowTrace
from qualitrace_monitors.judges import Judge
from qualitrace_monitors.judging.assessments import ID_PREFIX, feedback_of, source_of
from qualitrace_monitors.rows.score import Result

BATCH = 50
"""Rows written at once; MLflow links at most 100 traces at once."""
SERVER_WRITERS = 8
"""Batches in flight to a server, which takes assessments one by one; a database has one writer."""

_MADE_BY = (MLFLOW_USER, MLFLOW_SOURCE_NAME, MLFLOW_SOURCE_TYPE)
"""What MLflow's UI shows of a trace's origin."""

Lost = dict[tuple[str, str], str]
"""Why a score is not in MLflow, by row key and judge."""


class Recorder:
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
        self.patiently = Patience(self._store)
        found = self.patiently.first(lambda: find_or_create(mlflow_store(tracking_uri), experiment))
        self.experiment_id = str(found.experiment_id)
        self.client = self.patiently.first(lambda: MlflowClient(tracking_uri))
        self.run_id = ""

    def start(self, name: str | None, rows: pd.DataFrame) -> None:
        """Make the run, which MLflow's UI shows among the evaluation runs.

        Raises:
            StoreUnavailable, MlflowException: MLflow cannot be used.
        """
        self._tags = resolve_tags({MLFLOW_RUN_TYPE: MLFLOW_RUN_TYPE_GENAI_EVALUATE})
        run = self.patiently.first(lambda: self.client.create_run(self.experiment_id, tags=self._tags, run_name=name))
        self.run_id = run.info.run_id
        about = from_pandas(rows, name="dataset").to_dict()
        fields = ("name", "digest", "source_type", "source", "schema", "profile")
        source = DatasetInput(dataset=DatasetEntity(**{name: about[name] for name in fields if name in about}))
        self.patiently(lambda: self.client.log_inputs(self.run_id, [source]))

    def save(self, traces: Sequence[RowTrace], judges: Sequence[Judge], results: Results) -> Lost:
        """Write the traces with their assessments, linked to the run; return what could not be written, and why."""
        lost: Lost = {}
        writers = SERVER_WRITERS if self.tracking_uri.startswith("http") else 1
        with ThreadPoolExecutor(writers) as pool:
            batches = [traces[start : start + BATCH] for start in range(0, len(traces), BATCH)]
            for part in pool.map(self._save, batches, repeat(judges), repeat(results)):
                lost |= part
        return lost

    def end(self, status: str = "FINISHED") -> None:
        """End the run.

        Raises:
            StoreUnavailable: MLflow is away.
        """
        self.patiently(lambda: self.client.set_terminated(self.run_id, status))

    def _save(self, traces: Sequence[RowTrace], judges: Sequence[Judge], results: Results) -> Lost:
        refused = self._save_traces(traces)
        written = [trace for trace in traces if trace.row.key not in refused]
        scores = {
            (trace.row.key, judge.name): self._about(trace, judge.name, _feedback(judge, result))
            for trace in written
            for judge in judges
            if (result := results[trace.row.key, judge.name]).status != "not_applicable"
        }
        expected = [
            self._about(trace, None, _expectation(trace, self._tags)) for trace in written if _is_to_be_written(trace)
        ]
        errors = self._save_assessments([*scores.values(), *expected])
        lost: Lost = {(key, judge.name): text for key, text in refused.items() for judge in judges}
        return lost | {pair: errors[own] for pair, score in scores.items() if (own := _id(score)) in errors}

    def _save_traces(self, traces: Sequence[RowTrace], tries: int = REFUSALS) -> dict[str, str]:
        """Write traces, or link those that are there; return why some could not be, by row key."""
        try:
            self.patiently(lambda: self._write(traces), tries)
            return {}
        except StoreUnavailable as error:
            return {trace.row.key: why(error) for trace in traces}
        except Exception as error:
            if len(traces) == 1:
                return {traces[0].row.key: why(error)}
            middle = len(traces) // 2
            return self._save_traces(traces[:middle], 1) | self._save_traces(traces[middle:], 1)

    def _write(self, traces: Sequence[RowTrace]) -> None:
        """Write traces as MLflow's exporter does (mlflow/tracing/export/mlflow_v3.py); again does no harm."""
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

    def _save_assessments(self, assessments: Sequence[Assessment]) -> dict[str, str]:
        try:
            errors = self.patiently(lambda: self._store.save_assessments(assessments))
        except StoreUnavailable as error:
            return {_id(assessment): why(error) for assessment in assessments}
        return {name: why(error) for name, error in errors.items()}


def _id(assessment: Assessment) -> str:
    return str(assessment.assessment_id)


def _is_to_be_written(trace: RowTrace) -> bool:
    """Whether the expected answer is to be written: a recorded trace may have it already."""
    known = any(item.expectation and item.name == TARGET for item in trace.trace.info.assessments)
    return trace.row.target is not None and not known


def _expectation(trace: RowTrace, tags: dict[str, str]) -> Expectation:
    person = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id=tags.get(MLFLOW_USER, "unknown"))
    return Expectation(name=TARGET, value=trace.row.target, source=person)


def _feedback(judge: Judge, result: Result) -> Feedback:
    if result.score is not None:
        return feedback_of(judge, result.score)
    error = AssessmentError(error_code="JUDGE_FAILED", error_message=result.error)
    return Feedback(name=judge.name, source=source_of(judge), error=error)
