"""A sample as the MLflow trace that scorers expect: a root span with question and answer, one retriever span."""

import time

from mlflow.entities import Trace, TraceData, TraceInfo, TraceLocation, TraceState

from qualitrace_collector.sample import Sample
from qualitrace_monitors.made_spans import made_spans, new_trace_id


def trace_of(sample: Sample) -> Trace:
    """Make a trace of a sample; it is stored nowhere."""
    trace_id = new_trace_id()
    spans = made_spans(trace_id, sample.inputs, sample.passages, sample.outputs)
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
