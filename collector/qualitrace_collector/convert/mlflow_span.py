"""Writes drafts in the JSON form in which MLflow's stores keep spans (`mlflow.entities.Span.to_dict`), and reads it.

MLflow keeps each attribute as JSON text. Text that is JSON already (an object, an array, a string) is kept as it is,
as in `mlflow.tracing.otel.translation.sanitize_attributes`.

A stored span takes part when more of its trace is converted: `restored` is the inverse of `stored_span`. Fields that
conversion found before (`mlflow.*`) are kept as MLflow's own clients send them, so that its dialect reads them again,
and the others fill in what is still missing.

Pictures, sounds and files in recorded content would make traces of many megabytes. Long base64 is replaced by a
reference: `blob:<media type>;size=<bytes>;sha256=<hex digits of the decoded bytes>`.
"""

import binascii
import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any

from mlflow.entities import Span, SpanStatus, SpanType
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from qualitrace_collector.convert.content import encodable
from qualitrace_collector.convert.content.opening import load_json
from qualitrace_collector.convert.cost import cost_of
from qualitrace_collector.convert.span_draft import Event, SpanDraft
from qualitrace_collector.piece import EVENT_BYTES

# MLflow's attributes (`mlflow.tracing.constant.SpanAttributeKey`).
USAGE, COST, MODEL = "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.llm.model"

# Tokens of an embedding: MLflow's `mlflow.chat.tokenUsage`, and the trace's sum of it, count chat alone.
EMBEDDING_USAGE = "qualitrace.embedding.tokenUsage"

STATUS_PREFIX = "STATUS_CODE_"
_STATUS_CODES = dict(zip(Status.StatusCode.values(), Status.StatusCode.keys(), strict=True))

# Shorter base64 stays: it costs little, and may not be base64 at all.
MIN_CHARACTERS = 1024

# Levels of a value in which base64 is looked for.
MAX_DEPTH = 200

# Marks usage that must not be counted. Without the attribute MLflow would derive the usage from others.
_UNCOUNTED = "null"

# What may be an escaped zero byte, or half of a surrogate pair, in JSON text.
_SUSPECT = re.compile(r"\\u(0000|d[89a-f])", re.IGNORECASE)

_BLOCK = MIN_CHARACTERS // 2
_IN_BLOB = re.compile(rf"[A-Za-z0-9+/_-]{{{_BLOCK}}}")
_BASE64 = re.compile(
    r"(?:data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*?;base64,)?"
    rf"(?<![A-Za-z0-9+/_-])(?P<data>[A-Za-z0-9+/_-]{{{MIN_CHARACTERS},}}={{0,2}})"
)
_URL_SAFE = str.maketrans("-_", "+/")
_UNKNOWN_TYPE = "application/octet-stream"
_MAGIC = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF": "application/pdf",
    b"RIFF": "audio/wav",
    b"ID3": "audio/mpeg",
    b"OggS": "audio/ogg",
}

_MAX_INT = 1 << 63
_FIELDS = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}

_dumps = json.JSONEncoder(ensure_ascii=False, default=str).encode

# Characters of an attribute whose value is kept once it was opened. A larger value takes more memory than the time to
# open it again is worth.
_MOST_KEPT_OPEN = 1 << 20


@dataclass(slots=True)
class StoredSpan:
    """A span as MLflow's stores keep it, with the interface of `mlflow.entities.Span`.

    MLflow's entity parses every attribute when it is made, which took a quarter of the time of conversion.

    Attributes:
        data: what `mlflow.entities.Span.to_dict` returns; each attribute is JSON text.
        trace_id: MLflow's.
        span_id: 16 hex digits, as `parent_id`, which is None if there is no parent.
    """

    data: dict[str, Any]
    trace_id: str
    span_id: str
    parent_id: str | None
    events: list[Event]
    _opened: dict[str, Any] = field(default_factory=dict[str, Any])

    def get_attribute(self, key: str) -> Any:
        """Return an attribute's value, None if there is none."""
        if key in self._opened:
            return self._opened[key]
        text = self.data["attributes"].get(key)
        value = load_json(text, text) if text else None  # other text stays, as in MLflow
        if not text or len(text) <= _MOST_KEPT_OPEN:
            self._opened[key] = value
        return value

    @property
    def name(self) -> str:
        """The name that the client gave it."""
        return self.data["name"]

    @property
    def span_type(self) -> str | None:
        """MLflow's span type."""
        return self.get_attribute("mlflow.spanType")

    @property
    def inputs(self) -> Any:
        """The inputs, as a JSON value."""
        return self.get_attribute("mlflow.spanInputs")

    @property
    def outputs(self) -> Any:
        """The outputs, as a JSON value."""
        return self.get_attribute("mlflow.spanOutputs")

    @property
    def start_time_ns(self) -> int:
        """Unix nanoseconds."""
        return self.data["start_time_unix_nano"]

    @property
    def end_time_ns(self) -> int | None:
        """Unix nanoseconds, None while it runs."""
        return self.data["end_time_unix_nano"] or None

    @property
    def status(self) -> SpanStatus:
        """The status, as MLflow's entity."""
        status = self.data["status"]
        return SpanStatus(status["code"].removeprefix(STATUS_PREFIX), status["message"])


# A span of a trace, parts of which may have been read back from MLflow.
AnySpan = Span | StoredSpan


def duration_seconds(span: AnySpan) -> float | None:
    """Return how long a span took; None if it has not ended."""
    return (span.end_time_ns - span.start_time_ns) / 1e9 if span.end_time_ns else None


def json_text(span: AnySpan, key: str) -> str | None:
    """Return the JSON text that MLflow keeps of an attribute, None if there is none."""
    if isinstance(span, StoredSpan):
        return span.data["attributes"].get(key)
    return (span._span.attributes or {}).get(key)  # pyright: ignore[reportPrivateUsage, reportReturnType]


def stored_size(span: Span) -> int:
    """Return about how many bytes a stored span has, events as in `size_with_events`."""
    stored = span._span  # pyright: ignore[reportPrivateUsage]
    return sum(len(str(text)) for text in (stored.attributes or {}).values()) + EVENT_BYTES * len(stored.events)


def stored_span(draft: SpanDraft, trace_id: str) -> StoredSpan:
    """Return the span as MLflow's stores keep it; `trace_id` is MLflow's."""
    span = draft.span
    failed = span.status.code == Status.STATUS_CODE_ERROR
    stored: dict[str, Any] = {
        "trace_id": b64encode(span.trace_id).decode(),
        "span_id": b64encode(span.span_id).decode(),
        "parent_span_id": b64encode(span.parent_span_id).decode() if span.parent_span_id else None,
        "name": span.name.replace("\0", ""),
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
        "events": [
            {"name": event.name, "time_unix_nano": event.time, "attributes": without_blobs(event.attributes)}
            for event in draft.events
        ],
        "status": {"code": _STATUS_CODES.get(span.status.code, f"{STATUS_PREFIX}UNSET"), "message": ""},
        "attributes": _attributes(draft, trace_id),
        "links": [_link(link) for link in span.links],
    }
    if failed or draft.failure is not None:
        stored["status"] = {"code": f"{STATUS_PREFIX}ERROR", "message": draft.failure or span.status.message}
    parent_id = span.parent_span_id.hex() if span.parent_span_id else None
    return StoredSpan(stored, trace_id, span.span_id.hex(), parent_id, draft.events)


def _link(link: Any) -> dict[str, Any]:
    attributes = without_blobs(attribute_values(link.attributes))
    return {"trace_id": f"tr-{link.trace_id.hex()}", "span_id": link.span_id.hex(), "attributes": attributes or None}


def _attributes(draft: SpanDraft, trace_id: str) -> dict[str, str]:
    attributes = {key: _text(draft, value) for key, value in draft.values.items()}
    attributes |= {key: _quoted(value) for key, value in draft.added.items()}
    attributes["mlflow.traceRequestId"] = f'"{trace_id}"'
    known = attributes.get("mlflow.spanType")
    if draft.type is not None and known in (None, '"UNKNOWN"'):
        attributes["mlflow.spanType"] = f'"{draft.type}"'
    for key, value in (("mlflow.spanInputs", draft.inputs), ("mlflow.spanOutputs", draft.outputs)):
        if value is not None and value is not draft.values.get(key):
            attributes[key] = _written(draft, value, attributes) or _content(draft, value)
    for key, value in (
        (MODEL, draft.model),
        ("mlflow.llm.provider", draft.provider),
        ("mlflow.message.format", draft.message_format),
    ):
        if value and key not in attributes:
            attributes[key] = _quoted(value)
    if draft.tools is not None and "mlflow.chat.tools" not in attributes:
        attributes["mlflow.chat.tools"] = _content(draft, draft.tools)
    _put_usage(draft, attributes)
    return attributes


def _written(draft: SpanDraft, value: Any, attributes: Mapping[str, str]) -> str | None:
    """Return the text of the attribute from which inputs or outputs were taken as they are, None if there is none."""
    # What may hold half a pair is unescaped in both.
    if not isinstance(value, str) or ("\\u" in value and not _SUSPECT.search(value)):
        return None
    return next((attributes[key] for key, found in draft.values.items() if found is value), None)


def _put_usage(draft: SpanDraft, attributes: dict[str, str]) -> None:
    """Put tokens and cost where MLflow adds them up."""
    if draft.native:
        if draft.usage and COST not in attributes:
            _put_cost(draft, attributes)
    elif draft.usage and draft.counted:
        _put_cost(draft, attributes)
        is_embedding = draft.type == SpanType.EMBEDDING
        attributes[EMBEDDING_USAGE if is_embedding else USAGE] = _amounts(draft.usage)
        if is_embedding:
            attributes[USAGE] = _UNCOUNTED
    else:
        if draft.usage:
            attributes[USAGE] = _UNCOUNTED
        if draft.cost:
            attributes[COST] = _amounts(draft.cost)


def _put_cost(draft: SpanDraft, attributes: dict[str, str]) -> None:
    """Put the cost that the client states, or else that of the price catalog."""
    # Libraries state 0 for models that they do not know, so the catalog's price goes before it.
    stated = draft.cost if draft.cost and draft.cost.get("total_cost") else None
    cost = stated or cost_of(draft.model, draft.provider, draft.usage or {}) or draft.cost
    if cost is not None:
        attributes[COST] = _amounts(cost)


def _text(draft: SpanDraft, value: Any) -> str:
    """Return an attribute as JSON text; long base64 becomes a reference."""
    if isinstance(value, str):
        value = without_blobs(value)
        text = value if draft.is_json(value) else encode_basestring(value)
        return _readable(json.loads(text)) if _SUSPECT.search(text) else text
    if isinstance(value, int):  # written by hand: an encoder takes many times as long
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    return _dumps(without_blobs(value))


def _amounts(amounts: Mapping[str, float]) -> str:
    return "{" + ", ".join(f'"{name}": {amount!r}' for name, amount in amounts.items()) + "}"


def _content(draft: SpanDraft, value: Any) -> str:
    """Return inputs or outputs as JSON text without escaped letters, so that people can read and search them."""
    if isinstance(value, str) and draft.is_json(value):
        if "\\u" not in value:
            return without_blobs(value)
        value = draft.loads(value)
    return _readable(without_blobs(value))


def _quoted(text: str) -> str:
    return encode_basestring(encodable(text.replace("\0", "\ufffd")))


def _readable(value: Any) -> str:
    """Return JSON text without escaped letters, and without what a database refuses once MLflow has opened it."""
    # That is half of a surrogate pair in any database, and a zero byte in PostgreSQL.
    return encodable(_dumps(value).replace("\\u0000", "\\ufffd"))


def without_blobs(value: Any, depth: int = 0) -> Any:
    """Return the value with every long run of base64, and every long byte string, replaced by its reference."""
    if isinstance(value, str):
        if len(value) < MIN_CHARACTERS or not _may_hold_blob(value):
            return value
        return _BASE64.sub(_reference_of, value)
    if isinstance(value, bytes):
        return _reference(value) if len(value) >= MIN_CHARACTERS else b64encode(value).decode()
    if isinstance(value, list):
        is_vector = value and isinstance(value[0], (int, float))
        return value if is_vector or depth > MAX_DEPTH else [without_blobs(item, depth + 1) for item in value]
    if isinstance(value, dict) and depth <= MAX_DEPTH:
        return {key: without_blobs(item, depth + 1) for key, item in value.items()}
    return value


def _may_hold_blob(text: str) -> bool:
    # A run of twice a block's length covers at least one block in full, so blocks are enough to look at.
    return any(_IN_BLOB.match(text, at) for at in range(0, len(text), _BLOCK))


def _reference(data: bytes, media_type: str = "") -> str:
    """Describe bytes by media type, size and hash."""
    kind = media_type or next((name for magic, name in _MAGIC.items() if data.startswith(magic)), _UNKNOWN_TYPE)
    return f"blob:{kind};size={len(data)};sha256={hashlib.sha256(data).hexdigest()}"


def _reference_of(match: re.Match[str]) -> str:
    text = match["data"].translate(_URL_SAFE)
    try:
        data = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return match[0]
    return _reference(data, match["type"] or "")


def attribute_values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes by name; if a name comes twice, the last one counts, as in MLflow."""
    values: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        is_text = value.WhichOneof("value") == "string_value"  # most are; this is the hottest loop of conversion
        values[pair.key] = _without_zero(value.string_value) if is_text else any_value(value)
    return values


def any_value(value: AnyValue) -> Any:
    """Return the Python value of an `AnyValue`: text, number, boolean, bytes, list, mapping or None."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return _without_zero(value.string_value)
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attribute_values(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def _without_zero(text: str) -> str:
    return text.replace("\0", "\ufffd") if "\0" in text else text  # PostgreSQL refuses a zero byte


def restored(span: Span) -> OtlpSpan:
    """Return the OTLP span. Its flags and trace state are empty: MLflow does not store them."""
    data = span.to_dict()
    status = data["status"]
    return OtlpSpan(
        trace_id=b64decode(data["trace_id"]),
        span_id=b64decode(data["span_id"]),
        parent_span_id=b64decode(data["parent_span_id"] or ""),
        name=data["name"],
        start_time_unix_nano=data["start_time_unix_nano"],
        end_time_unix_nano=data["end_time_unix_nano"] or 0,
        attributes=[KeyValue(key=key, value=_attribute(key, text)) for key, text in data["attributes"].items()],
        events=[
            OtlpSpan.Event(
                name=event["name"],
                time_unix_nano=event["time_unix_nano"],
                attributes=_pairs((event["attributes"] or {}).items()),
            )
            for event in data["events"]
        ],
        links=[_restored_link(link) for link in data.get("links") or ()],
        status=Status(code=Status.StatusCode.Value(status["code"]), message=status["message"]),
    )


def _attribute(key: str, text: Any) -> AnyValue:
    """Return an attribute's value; JSON objects and arrays stay text, as instrumentors send them."""
    value = load_json(text, text) if isinstance(text, str) else text
    if isinstance(value, (dict, list)) or (key.startswith("mlflow.") and value is not None):
        return AnyValue(string_value=text)
    return _any_value(value)


def _any_value(value: Any) -> AnyValue:
    if value is None:
        return AnyValue()
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=_pairs(value.items())))
    if isinstance(value, (list, tuple)):
        return AnyValue(array_value=ArrayValue(values=[_any_value(item) for item in value]))
    field = _FIELDS.get(type(value))
    if field is None or (field == "int_value" and not -_MAX_INT <= value < _MAX_INT):
        return AnyValue(string_value=str(value))
    return AnyValue(**{field: value})


def _pairs(items: Iterable[tuple[str, Any]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in items]


def _restored_link(link: Mapping[str, Any]) -> OtlpSpan.Link:
    return OtlpSpan.Link(
        trace_id=bytes.fromhex(link["trace_id"].removeprefix("tr-")),
        span_id=bytes.fromhex(link["span_id"]),
        attributes=_pairs((link["attributes"] or {}).items()),
    )
