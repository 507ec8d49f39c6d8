"""Each row as a trace, in memory: MLflow's own export of traces drops what it cannot write, and says so to nobody."""

import json
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any

import mlflow
from mlflow.entities import Span, SpanType, Trace, TraceData, TraceInfo, TraceLocation, TraceState
from mlflow.entities.trace_location import MlflowExperimentLocation
from mlflow.tracing.constant import TRACE_SCHEMA_VERSION, TRACE_SCHEMA_VERSION_KEY, TraceMetadataKey, TraceTagKey
from mlflow.tracing.trace_manager import InMemoryTraceManager
from mlflow.tracing.utils.truncation import set_request_response_preview

from qualitrace_collector.convert.build_sample import question_and_answer
from qualitrace_monitors.evaluation.dataset import Row
from qualitrace_monitors.evaluation.predict import Answer
from qualitrace_monitors.made_spans import (
    RETRIEVER_NAME,
    ROOT_NAME,
    documents_of,
    made_spans,
    new_trace_id,
    trace_number,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTrace:
    """A row and its trace.

    Attributes:
        is_new: the trace is not in MLflow yet.
        failure: why the answer could not be produced, else empty.
    """

    row: Row
    trace: Trace
    is_new: bool = True
    failure: str = ""

    @property
    def trace_id(self) -> str:
        """MLflow's."""
        return self.trace.info.trace_id

    @property
    def question(self) -> str:
        """The row's, else what its trace shows."""
        return self.row.question or self._recorded[0]

    @property
    def answer(self) -> str:
        """What the trace shows."""
        return self._recorded[1]

    @property
    def _recorded(self) -> tuple[str, str]:
        return question_and_answer(self.trace.data.spans) if self.trace.data.spans else ("", "")


def recorded(row: Row, experiment_id: str) -> RowTrace:
    """Make the trace that an application would have left of a row; a row that is a trace keeps it, or gets a copy."""
    if row.trace is None:
        return RowTrace(row=row, trace=_written(row, experiment_id))
    if row.trace.info.experiment_id == experiment_id:
        return RowTrace(row=row, trace=row.trace, is_new=False)
    return RowTrace(row=row, trace=_copy(row.trace, experiment_id))


def predicted(row: Row, answer: Answer, experiment_id: str) -> RowTrace:
    """Have the question of a row answered, and return the trace of it, with all that MLflow traced meanwhile."""
    failure, spoken, held = "", row, None
    place = MlflowExperimentLocation(experiment_id)
    try:
        with mlflow.start_span(ROOT_NAME, span_type=SpanType.CHAIN, trace_destination=place) as root:
            with InMemoryTraceManager.get_instance().get_trace(root.trace_id) as held:
                pass  # held on to: MLflow forgets a trace that has ended
            root.set_inputs(_inputs(row))
            text, passages = answer(row.question)
            spoken = replace(row, answer=text, context=passages)
            _trace_passages(row.question, passages)
            root.set_outputs(text)
    except Exception as error:  # the application's own, whatever it is: this row has no answer
        failure = f"{type(error).__name__}: {error}"
    if held is None:  # MLflow's tracing is switched off
        return RowTrace(row=row, trace=_written(spoken, experiment_id), failure=failure)
    trace = held.to_mlflow_trace()
    InMemoryTraceManager.get_instance().pop_trace(trace_number(trace.info.trace_id))  # so that it is not exported, too
    return RowTrace(row=row, trace=trace, failure=failure)


def _trace_passages(question: str, passages: tuple[str, ...]) -> None:
    if passages:
        with mlflow.start_span(RETRIEVER_NAME, span_type=SpanType.RETRIEVER) as span:
            span.set_inputs({"query": question})
            span.set_outputs(documents_of(passages))


def _inputs(row: Row) -> dict[str, Any]:
    """Return what the root span records: the question, or the conversation that it ends."""
    if not row.conversation:
        return {"question": row.question}
    turns = [{"role": turn.role, "content": turn.content} for turn in row.conversation]
    return {"messages": [*turns, {"role": "user", "content": row.question}]}


def _written(row: Row, experiment_id: str) -> Trace:
    """Make the trace of a row's question, context and answer, as an application's; it is stored nowhere."""
    trace_id = new_trace_id()
    spans = made_spans(trace_id, row.question, row.context, row.answer, _inputs(row))
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=spans[0].start_time_ns // 1_000_000,
        execution_duration=0,
        state=TraceState.OK,
        trace_metadata={TRACE_SCHEMA_VERSION_KEY: str(TRACE_SCHEMA_VERSION)},
        tags={TraceTagKey.TRACE_NAME: ROOT_NAME},
    )
    trace = Trace(info=info, data=TraceData(spans=spans))
    set_request_response_preview(info, trace.data)
    return trace


def _copy(trace: Trace, experiment_id: str) -> Trace:
    """Copy a trace into another experiment, under another id; its assessments stay where they are."""
    trace_id = new_trace_id()
    binary = b64encode(bytes.fromhex(trace_id.removeprefix("tr-"))).decode()
    spans: list[Span] = []
    for span in trace.data.spans:
        written = span.to_dict()
        own = {"mlflow.traceRequestId": json.dumps(trace_id)}
        spans.append(Span.from_dict(written | {"trace_id": binary, "attributes": {**written["attributes"], **own}}))
    info = replace(
        trace.info,
        trace_id=trace_id,
        client_request_id=None,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        trace_metadata={k: v for k, v in trace.info.trace_metadata.items() if k != TraceMetadataKey.SOURCE_RUN},
        tags={k: v for k, v in trace.info.tags.items() if _is_copied(k)},
        assessments=[],
    )
    return Trace(info=info, data=TraceData(spans=spans))


def _is_copied(tag: str) -> bool:
    """Whether a tag says something of the trace itself, and not of where MLflow keeps it."""
    return tag == TraceTagKey.TRACE_NAME or not tag.startswith("mlflow.")
