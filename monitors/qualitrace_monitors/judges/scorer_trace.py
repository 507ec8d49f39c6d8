"""A sample as the MLflow trace that scorers expect: a root span with question and answer, one retriever span."""

import json
import time
import uuid

from mlflow.entities import Span, SpanType, Trace, TraceData, TraceInfo, TraceLocation, TraceState
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from qualitrace_collector.samples import Sample


def trace_of(sample: Sample) -> Trace:
    """Make a trace of a sample; it is stored nowhere."""
    number = uuid.uuid4().int
    trace_id = f"tr-{number:032x}"
    documents = [{"page_content": passage, "metadata": {}} for passage in sample.passages]
    root = _span(trace_id, 1, None, SpanType.CHAIN, {"question": sample.inputs}, sample.outputs)
    spans = [root]
    if documents:
        spans.append(_span(trace_id, 2, root, SpanType.RETRIEVER, {"question": sample.inputs}, documents))
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id("0"),
        request_time=int(time.time() * 1000),
        execution_duration=0,  # MLflow's integration of DeepEval divides it
        state=TraceState.OK,
        request_preview=sample.inputs,
        response_preview=sample.outputs,
    )
    return Trace(info=info, data=TraceData(spans=spans))


def _span(trace_id: str, number: int, parent: Span | None, kind: str, inputs: object, outputs: object) -> Span:
    now = time.time_ns()
    attributes = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": kind,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": outputs,
    }
    context = SpanContext(int(trace_id[3:], 16), number, is_remote=False, trace_flags=TraceFlags(1))
    readable = ReadableSpan(
        name=kind.lower(),
        context=context,
        parent=parent and SpanContext(context.trace_id, 1, is_remote=False, trace_flags=TraceFlags(1)),
        attributes={key: json.dumps(value) for key, value in attributes.items()},
        start_time=now,
        end_time=now,
    )
    return Span(readable)
