"""Decoding: OTLP's JSON rules, compression with a bound, and never anything but a clear refusal."""

import contextlib
import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from qualitrace_collector.receive.decode import check_headers, decode_json, decode_protobuf, decompress
from qualitrace_collector.receive.errors import TooLarge, Undecodable, Unsupported
from qualitrace_collector.receive.signals import LOGS, TRACES, Signal
from support.otlp_json import to_otlp_json

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
nanos = st.integers(0, 2**64 - 1)
values = st.recursive(
    st.one_of(
        st.builds(AnyValue, string_value=text),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats(allow_nan=False)),
        st.builds(AnyValue, bytes_value=st.binary(max_size=8)),
    ),
    lambda inner: st.one_of(
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=2))),
        st.builds(
            AnyValue,
            kvlist_value=st.builds(
                KeyValueList, values=st.lists(st.builds(KeyValue, key=text, value=inner), max_size=2)
            ),
        ),
    ),
    max_leaves=4,
)
attributes = st.lists(st.builds(KeyValue, key=text, value=values), max_size=3)
trace_ids = st.binary(min_size=16, max_size=16)
span_ids = st.binary(min_size=8, max_size=8)
spans = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=st.one_of(st.just(b""), span_ids),
    name=text,
    kind=st.integers(0, 5),
    flags=st.integers(0, 2**32 - 1),
    start_time_unix_nano=nanos,
    end_time_unix_nano=nanos,
    attributes=attributes,
    links=st.lists(st.builds(Span.Link, trace_id=trace_ids, span_id=span_ids), max_size=2),
    events=st.lists(st.builds(Span.Event, name=text, time_unix_nano=nanos, attributes=attributes), max_size=2),
    status=st.builds(Status, code=st.integers(0, 2), message=text),
)
records = st.builds(
    LogRecord, trace_id=trace_ids, span_id=span_ids, event_name=text, body=values, attributes=attributes
)


@given(st.lists(spans, max_size=3))
def test_traces_in_json_decode_to_the_same_request(items: list[Span]) -> None:
    """Whatever spans hold, writing them as OTLP's JSON and decoding gives the equal protobuf message."""
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=items)])])
    assert decode_json(TRACES, to_otlp_json(request)).message == request


@given(st.lists(records, max_size=3))
def test_logs_in_json_decode_to_the_same_request(items: list[LogRecord]) -> None:
    """Whatever log records hold, writing them as OTLP's JSON and decoding gives the equal message."""
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=items)])])
    assert decode_json(LOGS, to_otlp_json(request)).message == request


def decode_span(fields: str) -> Span:
    """Decode a request of one span whose JSON fields are given."""
    body = '{"resourceSpans": [{"scopeSpans": [{"spans": [{' + fields + "}]}]}]}"
    return decode_json(TRACES, body.encode()).message.resource_spans[0].scope_spans[0].spans[0]  # pyright: ignore


@pytest.mark.parametrize("given", ['"12"', "12", "12.0"])
def test_64_bit_integers_are_taken_as_number_or_text(given: str) -> None:
    """The JavaScript SDK sends numbers where the specification writes decimal strings."""
    span = decode_span(
        f'"startTimeUnixNano": {given}, "attributes": [{{"key": "n", "value": {{"intValue": {given}}}}}]'
    )
    assert span.start_time_unix_nano == 12
    assert span.attributes[0].value.int_value == 12


def test_ids_are_hexadecimal_in_either_case() -> None:
    """Upper and lower case digits give the same bytes, in spans and in links."""
    span = decode_span(
        '"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174", '
        '"links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "EEE19B7EC3C1B174"}]'
    )
    assert span.trace_id == span.links[0].trace_id == bytes.fromhex("5b8efff798038103d269b633813fc60c")
    assert span.span_id == span.links[0].span_id == bytes.fromhex("eee19b7ec3c1b174")


@pytest.mark.parametrize("bad", ["zz", "abc", "zzzzzzzzzzzzzzzz", "eee19b7ec3c1b17é"])
def test_an_id_that_is_not_hexadecimal_never_has_a_valid_length(bad: str) -> None:
    """It must be left to validation to reject this span alone, so the rest of the request decodes."""
    span = decode_span(f'"name": "kept", "spanId": "{bad}", "parentSpanId": "{bad}", "traceId": "{bad}"')
    assert span.name == "kept"
    assert len(span.span_id) == len(span.parent_span_id) == len(span.trace_id) == 1


def test_unknown_and_snake_case_names_are_ignored() -> None:
    """Fields of later OTLP versions do no harm, and only lowerCamelCase names are names."""
    span = decode_span('"name": "a", "newField": {"x": [1]}, "[odd]": 1, "trace_state": "k=v"')
    assert span == Span(name="a")


@pytest.mark.parametrize("name", ["SPAN_KIND_SERVER", "FUTURE_KIND", "2"])
def test_the_name_of_an_enum_is_undecodable_and_told(name: str) -> None:
    """OTLP has enums as integers; text is refused with its place, not dropped in silence."""
    with pytest.raises(Undecodable, match=rf"enums are integers in OTLP, not '{name}' at .*spans\[0\]\.kind"):
        decode_span(f'"kind": "{name}"')
    assert decode_span(f'"name": "a", "newField": {{"kind": "{name}", "code": "{name}"}}') == Span(name="a")
    assert decode_span('"kind": 99').kind == 99


def test_half_of_a_surrogate_pair_does_not_cost_the_request() -> None:
    """JavaScript truncates inside an emoji; the half becomes U+FFFD and all else stays as it was."""
    assert decode_span(r'"name": "caf\u00e9 \ud83d\ude00 \ud83d"').name == "café 😀 \ufffd"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [1]}',
        b"\xff\xfe{",
        b"[" * 100000,
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": {}}]}]}]}',
    ],
)
def test_odd_json_is_undecodable(body: bytes) -> None:
    """Wrong shapes, encodings and bottomless nesting are all refused as the client's mistake."""
    with pytest.raises(Undecodable, match="ExportTraceServiceRequest"):
        decode_json(TRACES, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceSpans", "resourceLogs", "scopeSpans", "spans", "traceId", "kind", "name"]),
            inner,
            max_size=4,
        )
    ),
)


@given(json_values, st.sampled_from([TRACES, LOGS]))
def test_any_json_decodes_or_is_refused(value: Any, signal: Signal) -> None:
    """No JSON value raises anything but Undecodable."""
    with contextlib.suppress(Undecodable):
        assert isinstance(decode_json(signal, json.dumps(value).encode()).message, signal.request)


@given(st.binary(max_size=200), st.sampled_from([TRACES, LOGS]), st.sampled_from(["gzip", "deflate", ""]))
def test_any_bytes_decode_or_are_refused(body: bytes, signal: Signal, encoding: str) -> None:
    """No body raises anything but Undecodable, compressed or not."""
    with contextlib.suppress(Undecodable):
        decode_protobuf(signal, decompress(body, encoding, 1000))


@given(st.binary(max_size=2000))
def test_compressed_bodies_come_back(data: bytes) -> None:
    """gzip (also in several members), deflate and identity give the original bytes."""
    assert decompress(gzip.compress(data[:99]) + gzip.compress(data[99:]), "gzip", 2000) == data
    assert decompress(zlib.compress(data), "deflate", 2000) == data
    assert decompress(data, "identity", 2000) == data


def test_decompression_is_bounded_over_all_members() -> None:
    """A body may expand to the limit and not a byte more, not even member by member."""
    assert len(decompress(gzip.compress(bytes(1000)), "gzip", 1000)) == 1000
    for bomb in (gzip.compress(bytes(1001)), gzip.compress(bytes(501)) * 2, gzip.compress(bytes(10_000_000))):
        with pytest.raises(TooLarge, match="larger than 1000 bytes"):
            decompress(bomb, "gzip", 1000)


def test_a_cut_or_damaged_body_is_undecodable() -> None:
    """Half a gzip body is refused, never taken for a whole one; so is garbage behind it."""
    whole = gzip.compress(b"some text that is long enough" * 20)
    for damaged in (whole[:-1], whole[:20], whole + b"rest", b"plain"):
        with pytest.raises(Undecodable, match="body is not gzip"):
            decompress(damaged, "gzip", 10_000)


@pytest.mark.parametrize(
    ("content_type", "encoding", "named"),
    [("text/plain", "", "'text/plain'"), ("", "", "application/x-protobuf"), ("application/json", "br", "'br'")],
)
def test_unknown_types_and_encodings_are_named(content_type: str, encoding: str, named: str) -> None:
    """The refusal says what was sent and what would be taken."""
    with pytest.raises(Unsupported, match=named):
        check_headers(content_type, encoding)
