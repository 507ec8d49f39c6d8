"""Requests that are small on the way and huge in memory; `bombing` sends them."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from qualitrace_collector.receive.settings import ItemLimits

MEGABYTE = 1 << 20
SIZE = 64 * MEGABYTE - 1024  # decompressed: just what `listen.max_request_size` lets through
SPAN_SIZE = ItemLimits().span_size
JSON_SIZE = ItemLimits().json_size - 1024
PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACES, LOGS_PATH = "/v1/traces", "/v1/logs"


def varint(number: int) -> bytes:
    """Return protobuf's encoding of a number."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field_of(number: int, content: bytes) -> bytes:
    """Return a field of a message, a text or bytes as it is on the wire."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def scope_spans(*fields: bytes) -> bytes:
    """Return a request with one list of spans, or of log records, and these of its fields."""
    return field_of(1, field_of(2, b"".join(fields)))


def attribute(value: bytes, key: bytes = b"k") -> bytes:
    """Return a `KeyValue`."""
    return field_of(1, key) + field_of(2, value)


GENAI = field_of(9, attribute(field_of(1, b"chat"), b"gen_ai.operation.name"))
NUMBER = b"\x18\x01"
EMOJI = "😀".encode()


def span(*fields: bytes, parent: int = 0, number: int = 1, trace: bytes = b"") -> bytes:
    """Return a span of a model call with valid ids and these fields."""
    ids = field_of(1, trace or secrets.token_bytes(16)) + field_of(2, number.to_bytes(8, "big"))
    above = field_of(4, parent.to_bytes(8, "big")) if parent else b""
    return field_of(2, ids + above + GENAI + b"".join(fields))


def one_span(*fields: bytes) -> bytes:
    """Return a request with one span."""
    return scope_spans(span(*fields))


def trace_of(count: int, *fields: bytes) -> bytes:
    """Return a request with as many spans of one trace, each with these fields."""
    trace = secrets.token_bytes(16)
    return scope_spans(*(span(*fields, parent=1 if i else 0, number=i + 1, trace=trace) for i in range(count)))


def nested(levels: int) -> bytes:
    """Return an `AnyValue` of lists in lists."""
    inner = b""
    for _ in range(levels):
        inner = field_of(5, field_of(1, inner))
    return inner


def times(part: bytes, size: int = SIZE - 200) -> bytes:
    """Repeat a part as often as fits."""
    return part * (size // len(part))


def text(content: bytes, key: bytes = b"input.value") -> bytes:
    """Return an attribute of a span with a text."""
    return field_of(9, attribute(field_of(1, content), key))


@dataclass(frozen=True)
class Bomb:
    """A request.

    Attributes:
        make: returns its body, before compression.
        doors: over which it is sent.
    """

    name: str
    make: Callable[[], bytes]
    path: str = TRACES
    kind: str = PROTOBUF
    doors: tuple[str, ...] = ("http", "grpc")


def _json_span(name: str, value: str) -> bytes:
    ids = f'"traceId":"{secrets.token_hex(16)}","spanId":"{secrets.token_hex(8)}"'
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{ids},"{name}":{value}}}]}}]}}]}}'.encode()


def _json_list(part: str) -> str:
    return "[" + (part + ",") * ((JSON_SIZE - 1000) // (len(part) + 1)) + part + "]"


def _record() -> bytes:
    return field_of(2, field_of(9, secrets.token_bytes(16)) + field_of(10, secrets.token_bytes(8)))


_json = partial(Bomb, kind=JSON, doors=("http",))
_logs = partial(Bomb, path=LOGS_PATH)
_GENAI_SCOPE = field_of(1, field_of(1, b"pydantic-ai"))
_MOST = SPAN_SIZE - 2000
_KEYS = [f"k{i}".encode() for i in range(12_000)]

# As much as fits into a request, whatever it is.
BOMBS = (
    Bomb("empty spans", lambda: scope_spans(times(b"\x12\x00"))),
    Bomb("empty events", lambda: one_span(times(b"\x5a\x00"))),
    Bomb("empty attributes", lambda: one_span(times(b"\x4a\x00"))),
    Bomb("empty links", lambda: one_span(times(b"\x6a\x00"))),
    Bomb("values in a list", lambda: one_span(field_of(9, attribute(field_of(5, times(b"\x0a\x00")))))),
    Bomb("values in lists in lists", lambda: one_span(times(field_of(9, attribute(nested(20)))))),
    Bomb("a value 5,000 lists deep", lambda: one_span(field_of(9, attribute(nested(5000))))),
    Bomb("an attribute's value again and again", lambda: one_span(field_of(9, times(b"\x12\x00")))),
    Bomb("a name again and again", lambda: one_span(times(b"\x2a\x00"))),
    Bomb("distinct span ids", lambda: trace_of(250_000)),
    Bomb("distinct trace ids", lambda: scope_spans(*(span() for _ in range(250_000)))),
    Bomb("resources", lambda: times(b"\x0a\x00")),
    Bomb("scopes", lambda: field_of(1, times(b"\x12\x00"))),
    Bomb("a key of 64 MB", lambda: one_span(field_of(9, attribute(NUMBER, EMOJI + times(b"k"))))),
    Bomb("keys of 1 MB", lambda: one_span(times(field_of(9, attribute(NUMBER, b"k" * MEGABYTE))))),
    Bomb("a text of 64 MB", lambda: one_span(text(EMOJI + times(b"v")))),
    Bomb("a text of 64 MB that is not UTF-8", lambda: one_span(text(times(b"\xff")))),
    _logs("empty log records", lambda: scope_spans(times(b"\x12\x00"))),
    _logs("distinct log records", lambda: scope_spans(_GENAI_SCOPE, *(_record() for _ in range(500_000)))),
    _json("JSON: objects", lambda: b'{"resourceSpans":%s}' % _json_list("{}").encode()),
    _json("JSON: numbers nobody asks for", lambda: b'{"x":%s}' % _json_list("1").encode()),
    _json("JSON: events", lambda: _json_span("events", _json_list("{}"))),
    _json("JSON: attributes", lambda: _json_span("attributes", _json_list("{}"))),
    _json("JSON: links", lambda: _json_span("links", _json_list("{}"))),
    _json("JSON: deep lists", lambda: b'{"x":' + b"[" * (JSON_SIZE - 100)),
    _json("JSON: deep objects", lambda: b'{"x":' * ((JSON_SIZE - 100) // 5)),
    _json("JSON: a key of 8 MB", lambda: b'{"' + b"k" * (JSON_SIZE - 100) + b'":1}'),
    _json("JSON: a text with an emoji", lambda: _json_span("name", '"😀' + "v" * (JSON_SIZE - 1000) + '"')),
    _json("JSON: a text of escapes", lambda: _json_span("name", '"' + "\\u00e9" * (JSON_SIZE // 6 - 1000) + '"')),
    _json("JSON: a text of half pairs", lambda: _json_span("name", '"' + "\\ud800" * (JSON_SIZE // 6 - 1000) + '"')),
    _json("JSON: a text that is not UTF-8", lambda: b'{"x":"' + b"\xff" * (JSON_SIZE - 100) + b'"}'),
)

# As much as the limits let through.
LAWFUL = (
    Bomb("20,000 spans of one trace", lambda: trace_of(20_000)),
    Bomb("20,000 traces", lambda: scope_spans(*(span() for _ in range(20_000)))),
    Bomb("372,000 events", lambda: trace_of(31, field_of(11, b"") * 12_000)),
    Bomb("372,000 links", lambda: trace_of(31, field_of(13, field_of(1, b"t" * 16) + field_of(2, b"s" * 8)) * 12_000)),
    Bomb("372,000 attributes", lambda: trace_of(31, *(field_of(9, attribute(NUMBER, key)) for key in _KEYS))),
    Bomb(
        "390,000 values in a list", lambda: one_span(field_of(9, attribute(field_of(5, field_of(1, NUMBER) * 390_000))))
    ),
    Bomb(
        "190,000 lists in a list",
        lambda: one_span(field_of(9, attribute(field_of(5, field_of(1, field_of(5, b"")) * 190_000)))),
    ),
    Bomb("the largest text", lambda: one_span(text(EMOJI + b"v " * (_MOST // 2)))),
    Bomb("two large texts in a trace", lambda: trace_of(2, text(EMOJI + b"v " * (_MOST // 4)))),
    Bomb(
        "as many of the largest texts as fit",
        lambda: scope_spans(*(span(text(EMOJI + b"v " * (_MOST // 2))) for _ in range(SIZE // SPAN_SIZE))),
    ),
    Bomb(
        "the largest text of escapes",
        lambda: one_span(
            text(
                b'{"messages": [{"role": "user", "content": "'
                + b"\\ud83d\\ude00" * 9
                + b"v " * (_MOST // 2 - 200)
                + b'"}]}'
            )
        ),
    ),
    Bomb(
        "the largest text in an event",
        lambda: one_span(
            field_of(
                11,
                field_of(2, b"gen_ai.user.message")
                + field_of(3, attribute(field_of(1, EMOJI + b"v " * (_MOST // 2)), b"content")),
            )
        ),
    ),
    Bomb(
        "20,000 spans under 1,000 attributes",
        lambda: field_of(
            1,
            field_of(1, b"".join(field_of(1, attribute(NUMBER, key)) for key in _KEYS[:1000]))
            + field_of(2, b"".join(span() for _ in range(19_000))),
        ),
    ),
    Bomb(
        "a text of 4 MB of objects in JSON",
        lambda: one_span(text(b"[" + b"{}," * (_MOST // 3 - 1) + b"{}]", b"gen_ai.input.messages")),
    ),
    Bomb(
        "a text of 4 MB of deep JSON",
        lambda: one_span(text(b"[" * (_MOST // 2) + b"]" * (_MOST // 2), b"gen_ai.input.messages")),
    ),
)
