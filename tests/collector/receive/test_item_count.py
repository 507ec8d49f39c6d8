"""What a request holds is counted before it is parsed: no lawful request is refused, each kind of bomb is."""

import json

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.receive.decode import decode_json, decode_protobuf
from qualitrace_collector.receive.errors import TooManyItems, Undecodable
from qualitrace_collector.receive.signals import LOGS, TRACES
from support.bombs import BOMBS, JSON, LOGS_PATH, Bomb
from support.otlp import request as request_of
from support.otlp_json import to_otlp_json

texts = st.text(max_size=8)
values = st.recursive(
    st.one_of(
        st.builds(AnyValue, string_value=texts), st.builds(AnyValue, int_value=st.integers(-9, 9)), st.just(AnyValue())
    ),
    lambda inner: st.one_of(
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=4))),
        st.builds(
            AnyValue,
            kvlist_value=st.builds(
                KeyValueList, values=st.lists(st.builds(KeyValue, key=texts, value=inner), max_size=4)
            ),
        ),
    ),
    max_leaves=12,
)
attributes = st.lists(st.builds(KeyValue, key=texts, value=values), max_size=4)
spans = st.lists(
    st.builds(
        Span,
        trace_id=st.just(b"t" * 16),
        span_id=st.just(b"s" * 8),
        name=texts,
        start_time_unix_nano=st.integers(0, 1 << 60),
        attributes=attributes,
        events=st.lists(st.builds(Span.Event, name=texts, attributes=attributes), max_size=3),
        links=st.lists(st.builds(Span.Link, trace_id=st.just(b"t" * 16), attributes=attributes), max_size=3),
    ),
    max_size=4,
)


def items_in(message: Message) -> int:
    """Count by the parsed message: what stands in lists, and lists and maps that are values."""
    count = 0
    for field, value in message.ListFields():
        if not field.message_type:
            continue
        inner = [value] if isinstance(value, Message) else list(value)
        count += len(inner) if not isinstance(value, Message) or field.containing_oneof else 0
        count += sum(items_in(item) for item in inner)
    return count


@given(spans)
def test_a_request_is_refused_by_its_items_and_by_nothing_else(sent: list[Span]) -> None:
    """With the limit at what it holds a request is taken as it is; with one less it is refused, in either form."""
    request = request_of(sent)
    held = items_in(request)
    data = request.SerializeToString()
    assert decode_protobuf(TRACES, data, held).message == request
    with pytest.raises(TooManyItems, match=f"more than {held - 1} spans, events"):
        decode_protobuf(TRACES, data, held - 1)
    with pytest.raises(TooManyItems):
        decode_json(TRACES, to_otlp_json(request), held - 1)


@given(st.text(max_size=2000), st.integers(1, 5))
def test_text_is_no_item(text: str, copies: int) -> None:
    """A text of nothing but braces, commas, quotes or the bytes of tags counts as little as any other."""
    for part in (text, "{[," * len(text), '"\\' * len(text), "\n\x12*2JZj\0" * len(text)):
        request = ExportTraceServiceRequest()
        found = request.resource_spans.add().scope_spans.add().spans.add()
        found.attributes.extend(KeyValue(key="k", value=AnyValue(string_value=part)) for _ in range(copies))
        held = items_in(request)
        assert decode_protobuf(TRACES, request.SerializeToString(), held).message == request
        assert (
            decode_json(TRACES, json.dumps(json.loads(to_otlp_json(request))).encode(), max(held, 10)).message
            == request
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "bomb", [bomb for bomb in BOMBS if "text" not in bomb.name and "key" not in bomb.name], ids=lambda bomb: bomb.name
)
def test_no_bomb_reaches_the_parser(bomb: Bomb) -> None:
    """Millions of items in one request are refused, whatever they are and wherever they stand."""
    signal = LOGS if bomb.path == LOGS_PATH else TRACES
    with pytest.raises(Undecodable):
        (decode_json if bomb.kind == JSON else decode_protobuf)(signal, bomb.make())
