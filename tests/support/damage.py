"""Requests as broken, odd or hostile clients send them, as hypothesis strategies."""

import gzip
import json
import zlib
from typing import Any

from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from support.otlp import attributes, rag_trace, request
from support.otlp_json import to_otlp_json

KEYS = (
    "resourceSpans scopeSpans spans resourceLogs scopeLogs logRecords resource scope attributes key value links events "
    "status traceId spanId parentSpanId name kind code startTimeUnixNano endTimeUnixNano flags severityNumber body "
    "stringValue intValue doubleValue bytesValue arrayValue kvlistValue values entityRefs idKeys [odd] snake_case"
).split()
"""The names that lead into the messages, so that odd values get where they may hurt, and two that are none."""

_COMPRESSIONS = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}


def whole_requests() -> list[bytes]:
    """Make good requests of traces and logs, in protobuf and JSON."""
    traces = request(rag_trace(1, question="Why?", answer="So.", passages=["P."], root_error="bad"))
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=b"t" * 16, span_id=b"s" * 8, event_name="gen_ai.choice", attributes=attributes({"n": 1}))
    return [write(message) for message in (traces, logs) for write in (type(traces).SerializeToString, to_otlp_json)]


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Overwrite, cut or stretch a good request in a few places."""
    body = bytearray(draw(st.sampled_from(whole_requests())))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(body)))
        body[start : start + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(body)


_text = st.text(st.characters(exclude_categories=()), max_size=6)  # halves of surrogate pairs, too
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text | st.sampled_from(["00" * 16, "ab" * 8, "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | _text, inner, max_size=5),
    max_leaves=12,
)


def nested(value: Any) -> Any:
    """Put a value where spans and log records are."""
    return {
        "resourceSpans": [{"resource": value, "scopeSpans": [{"spans": [value]}]}],
        "resourceLogs": [{"scopeLogs": [{"scope": value, "logRecords": [value]}]}],
    }


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


plain_bodies = st.one_of(
    st.binary(max_size=100), _damaged(), _json_values.map(_as_json), _json_values.map(nested).map(_as_json)
)


@st.composite
def _compressed(draw: st.DrawFn) -> tuple[bytes, str]:
    """Compress a body, or say so wrongly, or cut it off."""
    encoding = draw(st.sampled_from(list(_COMPRESSIONS)))
    body = _COMPRESSIONS[encoding](draw(plain_bodies))
    body = body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body
    said = draw(st.sampled_from([encoding] * 4 + [*_COMPRESSIONS, "identity", "br", "gzip, gzip"]))
    return body, said


bodies = _compressed()
"""(body, content encoding)"""
