"""Each row as a trace, in memory, with the answer that the data set has or that an application gives now.

MLflow's own export of traces drops what it cannot write and reports it to nobody, so the traces stay here until the run
is written.
"""

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

from qualitrace_collector.masking import masked
from qualitrace_monitors.evaluation.application import Answer
from qualitrace_monitors.evaluation.dataset import DatasetRow
from qualitrace_monitors.judges.made_spans import (
    RETRIEVER_NAME,
    ROOT_NAME,
    documents_of,
    made_spans,
    new_trace_id,
    trace_number,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTrace:
    """A row, with the answer that it was given, and its trace.

    Attributes:
        is_new: the trace is not in MLflow yet.
        failure: why the answer could not be produced, else empty.
    """

    row: DatasetRow
    trace: Trace
    is_new: bool = True
    failure: str = ""

    @property
    def trace_id(self) -> str:
        """MLflow's."""
        return self.trace.info.trace_id


def recorded(row: DatasetRow, experiment_id: str) -> RowTrace:
    """Make a row's trace as an application would have recorded it; a row that is a trace keeps it, or gets a copy."""
    if row.trace is None:
        return RowTrace(row=row, trace=_written(row, experiment_id))
    if row.trace.info.experiment_id == experiment_id:
        return RowTrace(row=row, trace=row.trace, is_new=False)
    return RowTrace(row=row, trace=_copy(row.trace, experiment_id))


def predicted(row: DatasetRow, answer: Answer, experiment_id: str) -> RowTrace:
    """Ask the application a row's question; return the row's trace, with everything that MLflow traced meanwhile."""
    failure, held = "", None
    place = MlflowExperimentLocation(experiment_id)
    try:
        with mlflow.start_span(ROOT_NAME, span_type=SpanType.CHAIN, trace_destination=place) as root:
            with InMemoryTraceManager.get_instance().get_trace(root.trace_id) as held:
                pass  # `held` keeps the trace: MLflow forgets one that has ended
            root.set_inputs(_inputs(row))
            text, passages = answer(row)
            row = replace(row, answer=text, context=passages)
            if passages:
                with mlflow.start_span(RETRIEVER_NAME, span_type=SpanType.RETRIEVER) as span:
                    span.set_inputs({"query": row.question})
                    span.set_outputs(documents_of(passages))
            root.set_outputs(text)
    except Exception as error:  # the application's own, whatever it is: this row has no answer
        failure = masked(f"{type(error).__name__}: {error}")
    if held is None:  # MLflow's tracing is switched off
        return RowTrace(row=row, trace=_written(row, experiment_id), failure=failure)
    trace = held.to_mlflow_trace()
    # MLflow would export the trace, too, if it still had it.
    InMemoryTraceManager.get_instance().pop_trace(trace_number(trace.info.trace_id))
    return RowTrace(row=row, trace=trace, failure=failure)


def _inputs(row: DatasetRow) -> dict[str, Any]:
    """Return what the root span records: the question, or the conversation that it ends."""
    if not row.conversation:
        return {"question": row.question}
    turns = [{"role": turn.role, "content": turn.content} for turn in row.conversation]
    return {"messages": [*turns, {"role": "user", "content": row.question}]}


def _written(row: DatasetRow, experiment_id: str) -> Trace:
    """Make a trace of a row's question, context and answer in memory, in the form of an application's."""
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
        # MLflow's other tags describe where it keeps the trace.
        tags={k: v for k, v in trace.info.tags.items() if k == TraceTagKey.TRACE_NAME or not k.startswith("mlflow.")},
        assessments=[],
    )
    return Trace(info=info, data=TraceData(spans=spans))
