"""Spans in memory, as an application would have recorded them: an answer, and what a retriever found for it.

Nothing is exported: MLflow's own export of traces silently drops what it cannot write.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Span, SpanType
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from qualitrace_collector.convert.content import encodable

ROOT_NAME, RETRIEVER_NAME = "answer", "context"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def new_trace_id() -> str:
    """Return a new trace id in MLflow's form."""
    return f"tr-{uuid.uuid4().hex}"


def trace_number(trace_id: str) -> int:
    """Return OpenTelemetry's number of a trace id in MLflow's form."""
    return int(trace_id.removeprefix("tr-"), 16)


def made_spans(
    trace_id: str, question: str, passages: Sequence[str], outputs: Any, inputs: Mapping[str, Any] | None = None
) -> list[Span]:
    """Make the root span of an answer and, if there are passages, the retriever's below it.

    Args:
        inputs: what the root records as its inputs, else the question.
    """
    spans = [_span(trace_id, 1, ROOT_NAME, SpanType.CHAIN, inputs or {"question": question}, outputs)]
    if passages:
        query, found = {"query": question}, documents_of(passages)
        spans.append(_span(trace_id, 2, RETRIEVER_NAME, SpanType.RETRIEVER, query, found))
    return spans


def documents_of(passages: Sequence[str]) -> list[dict[str, Any]]:
    """Return passages as MLflow's retriever spans have them."""
    return [{"page_content": passage, "metadata": {}} for passage in passages]


def _span(trace_id: str, number: int, name: str, kind: str, inputs: Any, outputs: Any) -> Span:
    """Make a span; the first one is the parent of the others."""
    now = time.time_ns()
    attributes = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": kind,
        "mlflow.spanInputs": inputs,
        "mlflow.spanOutputs": outputs,
    }
    root, context = (SpanContext(trace_number(trace_id), n, is_remote=False, trace_flags=_SAMPLED) for n in (1, number))
    readable = ReadableSpan(
        name=name,
        context=context,
        parent=None if number == 1 else root,
        resource=Resource.get_empty(),
        attributes={key: _json(value) for key, value in attributes.items()},
        start_time=now,
        end_time=now,
        status=Status(StatusCode.OK),
    )
    return Span(readable)


def _json(value: Any) -> str:
    """Return JSON without what a database may refuse: lone surrogates and zero bytes."""
    return encodable(json.dumps(value, ensure_ascii=False).replace("\\u0000", "\\ufffd"))
