"""Writes drafts in the JSON form in which MLflow's stores keep spans (`mlflow.entities.Span.to_dict`), and reads it.

MLflow keeps each attribute as JSON text. Text that is JSON already (an object, an array, a string) is kept as it is,
as in `mlflow.tracing.otel.translation.sanitize_attributes`.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any

from mlflow.entities import Span, SpanStatus, SpanType
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from qualitrace_collector.convert.blobs import without_blobs
from qualitrace_collector.convert.content import encodable
from qualitrace_collector.convert.content.opening import load_json
from qualitrace_collector.convert.cost import cost_of
from qualitrace_collector.convert.otlp_values import attribute_values
from qualitrace_collector.convert.span_draft import Event, SpanDraft
from qualitrace_collector.piece import EVENT_BYTES

# MLflow's attributes (`mlflow.tracing.constant.SpanAttributeKey`).
USAGE, COST, MODEL = "mlflow.chat.tokenUsage", "mlflow.llm.cost", "mlflow.llm.model"

# Tokens of an embedding: MLflow's `mlflow.chat.tokenUsage`, and the trace's sum of it, count chat alone.
EMBEDDING_USAGE = "qualitrace.embedding.tokenUsage"

STATUS_PREFIX = "STATUS_CODE_"
_STATUS_CODES = dict(zip(Status.StatusCode.values(), Status.StatusCode.keys(), strict=True))

# Marks usage that must not be counted. Without the attribute MLflow would derive the usage from others.
_UNCOUNTED = "null"

# What may be an escaped zero byte, or half of a surrogate pair, in JSON text.
_SUSPECT = re.compile(r"\\u(0000|d[89a-f])", re.IGNORECASE)

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
