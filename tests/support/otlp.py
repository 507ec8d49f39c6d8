"""Builds OTLP spans and requests the way instrumented applications send them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
REMOTE_PARENT = 0x300
LOCAL_PARENT = 0x100


def trace_id(number: int) -> bytes:
    """Return a valid 16-byte trace id."""
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    """Return a valid 8-byte span id."""
    return number.to_bytes(8, "big")


def attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    """Make OTLP attributes of strings, numbers and booleans."""
    kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    return [KeyValue(key=key, value=AnyValue(**{kinds[type(value)]: value})) for key, value in values.items()]


def span(
    trace: int,
    number: int,
    parent: int = 0,
    *,
    name: str = "step",
    flags: int = LOCAL_PARENT,
    error: str = "",
    start: int = START,
    seconds: float = 1.0,
    tracestate: str = "",
    **values: Any,
) -> Span:
    """Build a span; keyword values are attributes, `__` stands for a dot."""
    return Span(
        trace_id=trace_id(trace),
        span_id=span_id(number),
        parent_span_id=span_id(parent) if parent else b"",
        name=name,
        flags=flags,
        trace_state=tracestate,
        start_time_unix_nano=start + number,
        end_time_unix_nano=start + number + int(seconds * SECOND),
        attributes=attributes({key.replace("__", "."): value for key, value in values.items()}),
        status=Status(code=Status.STATUS_CODE_ERROR, message=error) if error else None,
    )


def chat_span(trace: int, number: int, parent: int = 0, *, question: str, answer: str, **values: Any) -> Span:
    """Build a model call in OpenTelemetry's GenAI conventions, with content."""
    messages = [{"role": "user", "parts": [{"type": "text", "content": question}]}]
    reply = [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]
    content = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o-mini",
        "gen_ai__usage__input_tokens": 14,
        "gen_ai__usage__output_tokens": 8,
        "gen_ai__input__messages": json.dumps(messages),
        "gen_ai__output__messages": json.dumps(reply),
    }
    return span(trace, number, parent, name="chat gpt-4o-mini", **(content | values))


def retriever_span(trace: int, number: int, parent: int, *, query: str, passages: Iterable[str], **values: Any) -> Span:
    """Build a retriever's span in OpenInference's conventions, with the documents as its output."""
    documents = [{"page_content": text, "metadata": {}, "id": str(rank)} for rank, text in enumerate(passages)]
    content = {
        "openinference__span__kind": "RETRIEVER",
        "input__value": query,
        "output__value": json.dumps(documents),
        "output__mime_type": "application/json",
    }
    return span(trace, number, parent, name="retrieve", **(content | values))


def rag_trace(trace: int, *, question: str, answer: str, passages: Iterable[str], root_error: str = "") -> list[Span]:
    """Build an HTTP request with a retriever and a model call below it."""
    return [
        span(trace, 1, name="POST /ask", error=root_error, http__request__method="POST", seconds=2),
        retriever_span(trace, 2, 1, query=question, passages=passages),
        chat_span(trace, 3, 1, question=question, answer=answer),
    ]


def request(spans: Iterable[Span], service: str = "shop", **resource: Any) -> ExportTraceServiceRequest:
    """Wrap spans of one service as an exporter does."""
    message = ExportTraceServiceRequest()
    values = {"service.name": service} | {key.replace("__", "."): value for key, value in resource.items()}
    group = message.resource_spans.add(resource=Resource(attributes=attributes(values)))
    group.scope_spans.add(scope=InstrumentationScope(name="test"), spans=spans)
    return message
