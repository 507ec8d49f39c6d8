"""OTLP's JSON encoding, where it differs from protobuf's JSON mapping."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.receiving import Receiver

TRACE_ID, SPAN_ID = "5B8EFFF798038103d269b633813fc60c", "EEE19b7ec3c1b174"
SPAN = {"traceId": TRACE_ID, "spanId": SPAN_ID}


@pytest.fixture
def send(receiver: Receiver, post: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    """Post one span, given as JSON fields beside its ids."""

    def send_span(**fields: Any) -> httpx.Response:
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN | fields]}]}]}
        return post(receiver, json.dumps(body).encode(), "application/json")

    return send_span


@pytest.fixture
def kept(receiver: Receiver, send: Callable[..., httpx.Response]) -> Callable[..., Span]:
    """Post one span and return it as it was kept."""

    def keep(**fields: Any) -> Span:
        answer = send(**fields)
        assert (answer.status_code, answer.json()) == (200, {})
        request = ExportTraceServiceRequest.FromString(receiver.payloads()[-1])
        return request.resource_spans[0].scope_spans[0].spans[0]

    return keep


def test_json_ids_are_hexadecimal_in_either_case(
    receiver: Receiver, post: Callable[..., httpx.Response], kept: Callable[..., Span]
) -> None:
    """Ids of spans, parents, links and log records are read as hexadecimal, upper or lower case, never as base64."""
    trace_id, span_id = bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID)
    span = kept(parentSpanId=SPAN_ID.lower(), links=[{"traceId": TRACE_ID.upper(), "spanId": SPAN_ID.upper()}])
    assert (span.trace_id, span.span_id, span.parent_span_id) == (trace_id, span_id, span_id)
    assert (span.links[0].trace_id, span.links[0].span_id) == (trace_id, span_id)
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [SPAN | {"eventName": "gen_ai.choice"}]}]}]}
    assert post(receiver, json.dumps(logs).encode(), "application/json", "/v1/logs").json() == {}
    record = ExportLogsServiceRequest.FromString(receiver.payloads()[-1]).resource_logs[0].scope_logs[0].log_records[0]
    assert (record.trace_id, record.span_id) == (trace_id, span_id)


def test_json_enums_are_integers(kept: Callable[..., Span]) -> None:
    """Kinds and status codes are read as integers, of later versions too."""
    span = kept(kind=2, status={"code": 2})
    assert (span.kind, span.status.code) == (Span.SPAN_KIND_SERVER, 2)
    assert kept(kind=77).kind == 77


@pytest.mark.parametrize("fields", [{"kind": "SPAN_KIND_SERVER"}, {"status": {"code": "STATUS_CODE_ERROR"}}])
def test_json_names_of_enums_are_bad_data(send: Callable[..., httpx.Response], fields: dict[str, Any]) -> None:
    """OTLP forbids names of enum values; the answer says so."""
    answer = send(**fields)
    assert answer.status_code == 400
    assert "enums are integers in OTLP" in answer.json()["message"]


def test_json_unknown_fields_are_ignored(kept: Callable[..., Span]) -> None:
    """Fields of later versions, whatever they hold, leave the span as if they were not there."""
    plain = kept(name="a")
    assert kept(name="a", newField={"kind": "x", "traceId": [1]}, status={"new": None, "newer": "y"}) == Span(
        trace_id=plain.trace_id, span_id=plain.span_id, name="a", status={}
    )


def test_json_keys_are_lower_camel_case(kept: Callable[..., Span]) -> None:
    """Fields go by their lowerCamelCase names; the original names are not names."""
    span = kept(traceState="a=1", droppedLinksCount=3, dropped_events_count=4, start_time_unix_nano=5)
    assert (span.trace_state, span.dropped_links_count) == ("a=1", 3)
    assert (span.dropped_events_count, span.start_time_unix_nano) == (0, 0)


@pytest.mark.parametrize("write", [str, int], ids=["text", "number"])
def test_json_64_bit_integers_are_text_or_numbers(kept: Callable[..., Span], write: Callable[[int], Any]) -> None:
    """Times and integer attributes are read exactly from decimal text and from numbers."""
    time, value = 1_700_000_000_123_456_789, -(2**63)
    span = kept(
        startTimeUnixNano=write(time),
        endTimeUnixNano=write(time + 1),
        attributes=[{"key": "n", "value": {"intValue": write(value)}}],
    )
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (time, time + 1)
    assert span.attributes[0].value.int_value == value


def test_json_64_bit_integers_in_answers_are_text(send: Callable[..., httpx.Response]) -> None:
    """The count in a partial success is written as protobuf's JSON mapping writes 64-bit integers."""
    assert send(spanId="00").json()["partialSuccess"]["rejectedSpans"] == "1"
