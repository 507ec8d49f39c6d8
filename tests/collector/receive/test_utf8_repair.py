"""Text that is not UTF-8 costs what is broken in it, and nothing of its neighbours."""

import http.client
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from qualitrace_collector.receive.decode import decode_json, decode_protobuf
from qualitrace_collector.receive.errors import Undecodable
from qualitrace_collector.receive.signals import LOGS, TRACES
from support.otlp import chat_span, request, span

MARK = "@@@@"


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def pairs(value: str) -> list[KeyValue]:
    return [KeyValue(key="k", value=text(value))]


def nested(value: str) -> AnyValue:
    inner = AnyValue(array_value=ArrayValue(values=[text("ok"), text(value)]))
    return AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="list", value=inner)]))


def of(*spans: Span) -> ResourceSpans:
    return ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])


PLACES: dict[str, Callable[[str], ResourceSpans]] = {
    "name": lambda it: of(Span(name=it)),
    "attribute": lambda it: of(Span(attributes=pairs(it))),
    "key": lambda it: of(Span(attributes=[KeyValue(key=it, value=text("v"))])),
    "nested": lambda it: of(Span(attributes=[KeyValue(key="k", value=nested(it))])),
    "event": lambda it: of(Span(events=[Span.Event(name=it, attributes=pairs(it))])),
    "link": lambda it: of(Span(links=[Span.Link(trace_state=it, attributes=pairs(it))])),
    "status": lambda it: of(Span(status=Status(message=it))),
    "trace state": lambda it: of(Span(trace_state=it)),
    "resource": lambda it: ResourceSpans(resource=Resource(attributes=pairs(it)), scope_spans=[ScopeSpans()]),
    "scope": lambda it: ResourceSpans(scope_spans=[ScopeSpans(scope=InstrumentationScope(name=it))]),
    "schema": lambda it: ResourceSpans(schema_url=it),
}


@pytest.mark.parametrize("place", PLACES)
def test_broken_text_is_replaced_wherever_it_stands(place: str):
    """What is not UTF-8 becomes U+FFFD; the rest of the text, and all else, is as it was sent."""

    def message(value: str) -> ExportTraceServiceRequest:
        neighbour = of(chat_span(1, 1, question="Why?", answer="So — très bien."))
        return ExportTraceServiceRequest(resource_spans=[neighbour, PLACES[place](value), neighbour])

    sent = message(MARK).SerializeToString()
    decoded = decode_protobuf(TRACES, sent.replace(MARK.encode(), b"a\xff\xe9z"))
    assert decoded.message == message("a\ufffd\ufffdz")
    assert decoded.payload == decoded.message.SerializeToString()
    assert decoded.repaired == sent.count(MARK.encode())


def test_broken_text_in_a_log_record_is_replaced():
    """Logs are a signal as traces are."""
    record = LogRecord(trace_id=bytes(range(16)), span_id=b"12345678", event_name="gen_ai.choice", body=text(MARK))
    message = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])])
    decoded: Any = decode_protobuf(LOGS, message.SerializeToString().replace(MARK.encode(), b"ab\xc3."))
    assert decoded.message.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "ab\ufffd."


def test_bytes_are_no_text():
    """A field of bytes may hold anything, beside a text that may not."""
    blob = KeyValue(key="blob", value=AnyValue(bytes_value=b"\xff\xfe"))
    message = ExportTraceServiceRequest(resource_spans=[of(Span(name=MARK, trace_id=b"\xff" * 16, attributes=[blob]))])
    decoded: Any = decode_protobuf(TRACES, message.SerializeToString().replace(MARK.encode(), b"\xff..."))
    found = decoded.message.resource_spans[0].scope_spans[0].spans[0]
    assert (found.name, found.trace_id, found.attributes[0]) == ("\ufffd...", b"\xff" * 16, blob)


def test_fields_of_a_later_version_are_kept():
    """What this version of OTLP does not know passes through a repair."""
    unknown = b"\xa2\x06\x03abc" + b"\xa8\x06\x05" + b"\xb1\x0612345678" + b"\xbd\x061234"
    raw = Span(name=MARK).SerializeToString().replace(MARK.encode(), b"\xff...") + unknown
    inner = b"\x12" + bytes([len(raw)]) + raw
    group = b"\x12" + bytes([len(inner)]) + inner
    decoded: Any = decode_protobuf(TRACES, b"\x0a" + bytes([len(group)]) + group)
    assert decoded.message.resource_spans[0].scope_spans[0].spans[0].name == "\ufffd..."
    assert unknown in decoded.payload


def test_a_text_that_grows_over_a_length_of_one_byte_is_framed_anew():
    """Each broken byte becomes three; the lengths of all messages around it are longer, too."""
    message = ExportTraceServiceRequest(resource_spans=[of(Span(name="@" * 120), span(1, 2, name="next"))])
    decoded: Any = decode_protobuf(TRACES, message.SerializeToString().replace(b"@" * 120, b"\xff" * 120))
    assert [item.name for item in decoded.message.resource_spans[0].scope_spans[0].spans] == ["\ufffd" * 120, "next"]


def test_a_request_that_is_broken_otherwise_is_refused():
    """Repair is for text alone: a message that is cut off stays undecodable, and the first error is reported."""
    sent = ExportTraceServiceRequest(resource_spans=[of(Span(name=MARK))]).SerializeToString()
    with pytest.raises(Undecodable, match="ExportTraceServiceRequest"):
        decode_protobuf(TRACES, sent.replace(MARK.encode(), b"\xff...")[:-1])


def test_a_hostile_nesting_is_refused():
    """Values within values beyond protobuf's own depth end in a refusal, not in a deep recursion."""
    value = text("\ufffd").SerializeToString().replace("\ufffd".encode(), b"\xff..")
    for _ in range(300):
        array = b"\x0a" + _length(value) + value
        value = b"\x2a" + _length(array) + array
    pair = b"\x12" + _length(value) + value
    attribute = b"\x4a" + _length(pair) + pair
    scope = b"\x12" + _length(attribute) + attribute
    group = b"\x12" + _length(scope) + scope
    with pytest.raises(Undecodable):
        decode_protobuf(TRACES, b"\x0a" + _length(group) + group)


def _length(value: bytes) -> bytes:
    size, out = len(value), b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


@given(st.binary(max_size=40), st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_bytes_for_a_text_decode(broken: bytes, kept: str):
    """Whatever stands in a text, the request decodes, and repaired text is what Python makes of it."""
    name = Span(name="x" * len(broken))
    sent = ExportTraceServiceRequest(resource_spans=[of(name, Span(name=kept))]).SerializeToString()
    raw = sent.replace(b"\x2a" + bytes([len(broken)]) + b"x" * len(broken), b"\x2a" + bytes([len(broken)]) + broken, 1)
    found: Any = decode_protobuf(TRACES, raw).message
    names = [item.name for item in found.resource_spans[0].scope_spans[0].spans]
    assert names == [broken.decode(errors="replace"), kept]


def test_broken_bytes_in_json_are_replaced():
    """OTLP's JSON is UTF-8, too, and one text that is not costs no other."""
    body = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "a\xffb"}, {"name": "\xc3\xa9\xef\xbf\xbd"}]}]}]}'
    decoded: Any = decode_json(TRACES, body)
    names = [item.name for item in decoded.message.resource_spans[0].scope_spans[0].spans]
    assert (names, decoded.repaired) == (["a\ufffdb", "é\ufffd"], 1)


def test_a_valid_request_is_kept_to_the_byte():
    """Nothing is parsed twice or written anew while all text is UTF-8."""
    sent = request([chat_span(1, 1, question="Why?", answer="So.")]).SerializeToString()
    decoded = decode_protobuf(TRACES, sent)
    assert decoded.payload is sent
    assert decoded.repaired == 0


def by_http(receiver: Any, body: bytes) -> bytes:
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    answer = connection.getresponse().read()
    connection.close()
    return answer


def by_grpc(receiver: Any, body: bytes) -> bytes:
    with grpc.insecure_channel(receiver.grpc) as channel:
        export: Any = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        return export(body, timeout=20)


@pytest.mark.parametrize("size", [0, 200_000])
@pytest.mark.parametrize("send", [by_http, by_grpc])
def test_the_answer_warns_without_a_rejection(
    receiver: Any, make_request: Any, eventually: Any, send: Callable[[Any, bytes], bytes], size: int
):
    """A partial success that rejects nothing says what was repaired; the journal holds what can be read again."""
    message = make_request(spans=2, size=size)
    message.resource_spans[0].scope_spans[0].spans[0].name = MARK
    answer = send(receiver, message.SerializeToString().replace(MARK.encode(), b"\xff..."))
    response = ExportTraceServiceResponse.FromString(answer)
    assert response.partial_success.rejected_spans == 0
    assert "1 texts repaired: strings must be UTF-8" in response.partial_success.error_message
    (entry,) = receiver.journal.read(0, 10, 1 << 30)
    message.resource_spans[0].scope_spans[0].spans[0].name = "\ufffd..."
    assert ExportTraceServiceRequest.FromString(entry.payload) == message
    eventually(lambda: receiver.journal.counters().get(("texts_repaired", "traces")) == 1)


def test_a_request_of_endless_values_is_refused(monkeypatch: pytest.MonkeyPatch):
    """The search for broken text takes a bounded time, whatever a client sends."""
    monkeypatch.setattr("qualitrace_collector.receive.utf8_repair.MAX_VALUES", 50)
    broken = b"\x0a\x03\x1a\x01\xff"  # a schema's URL
    valid = b"\x0a\x00"
    assert decode_protobuf(TRACES, broken + valid * 10).repaired == 1
    with pytest.raises(Undecodable):
        decode_protobuf(TRACES, broken + valid * 60)


def test_too_much_broken_text_is_not_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repaired text may be three times as long, so there is a limit; at the limit it is repaired."""
    monkeypatch.setattr("qualitrace_collector.receive.utf8_repair.MAX_REPAIRED_BYTES", 120)
    message = request([span(1, 1, name="@" * 120)])
    sent = message.SerializeToString()
    assert decode_protobuf(TRACES, sent.replace(b"@" * 120, b"\xff" * 120)).repaired == 1
    message.resource_spans[0].scope_spans[0].spans.append(span(1, 2, name="@"))
    sent = message.SerializeToString()
    with pytest.raises(Undecodable, match="UTF-8"):
        decode_protobuf(TRACES, sent.replace(b"@", b"\xff"))
