"""A span while it is converted: the dialects fill in its fields, and `mlflow_span.py` writes them as MLflow does."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mlflow.entities import SpanType
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert.content.opening import load_json

# Types of spans that stand for one call of a language model.
CALL_TYPES = (SpanType.CHAT_MODEL, SpanType.LLM)

# Types of spans whose outputs may be a provider's response, with usage and cost in it.
RESPONDING_TYPES = (*CALL_TYPES, SpanType.AGENT)

_Number = TypeVar("_Number", int, float)

_JSON_STARTS = frozenset('{["')
_SPACES = " \t\r\n"
_NOT_JSON = object()
_EMPTY_TEXTS = frozenset({"", "{}", "[]", "null", '""'})
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(,\d{3})+")
_MAX_NUMBER_LENGTH = 40


@dataclass(slots=True)
class Event:
    """A span event, or a log record of the span; time in Unix nanoseconds."""

    name: str
    time: int
    attributes: dict[str, Any]


@dataclass(slots=True)
class SpanDraft:
    """A span on its way to MLflow.

    Attributes:
        scope: name of the instrumentation scope; empty if unknown, as MLflow does not store it.
        values: the attributes as sent, decoded.
        events: span events, and log records that belong to the span.
        native: whether MLflow's own client recorded it, so that its fields are in MLflow's form already.
        type: MLflow's span type, None if no dialect finds one.
        inputs: text, JSON text, or a JSON value; None if not recorded. `outputs` and `tools` likewise.
        usage: tokens by MLflow's names, and `reasoning_tokens`.
        cost: US dollars by MLflow's names, where the client states them.
        counted: whether its usage counts in the trace's totals.
        failure: why the span failed, where its own OTLP status does not say so.
        added: attributes that conversion adds.
    """

    span: Span
    scope: str
    values: dict[str, Any]
    events: list[Event]
    native: bool = False
    genai: bool = False
    type: str | None = None
    inputs: Any = None
    outputs: Any = None
    tools: Any = None
    model: str | None = None
    provider: str | None = None
    response_id: str | None = None
    message_format: str | None = None
    usage: dict[str, int] | None = None
    cost: dict[str, float] | None = None
    counted: bool = True
    failure: str | None = None
    added: dict[str, Any] = field(default_factory=dict[str, Any])
    _json: dict[str, Any] = field(default_factory=dict[str, Any])
    _texts: dict[Callable[[Any], str], tuple[Any, str]] = field(
        default_factory=dict[Callable[[Any], str], tuple[Any, str]]
    )

    def loads(self, value: Any) -> Any:
        """Open text that holds a JSON object, array or string; return anything else as it is."""
        if not isinstance(value, str) or not _looks_like_json(value):
            return value
        # Dialects, the root and the writer open the same long texts.
        if (known := self._json.get(value)) is None:
            known = self._json[value] = load_json(value, _NOT_JSON)
        return value if known is _NOT_JSON else known

    def read(self, text: Callable[[Any], str], value: Any) -> str:
        """Return `text` of a value with JSON opened; the last result is kept, as one call is compared with many."""
        known = self._texts.get(text)
        if known is None or known[0] is not value:
            known = self._texts[text] = (value, text(self.loads(value)))
        return known[1]

    def is_json(self, text: str) -> bool:
        """Whether the text holds a JSON object, array or string."""
        return _looks_like_json(text) and self.loads(text) is not text

    def first(self, keys: Iterable[str]) -> Any:
        """Return the first of these attributes that is not empty (nor an empty JSON value), None if all are."""
        values = self.values
        for key in keys:
            if key in values and not _is_empty(value := values[key]):
                return value
        return None

    def text(self, keys: Iterable[str]) -> str | None:
        """Return the first of these attributes if it is text, JSON text opened."""
        value = self.loads(self.first(keys))
        return value if isinstance(value, str) else None

    def count(self, keys: Iterable[str]) -> int | None:
        """Return the first of these attributes that is a whole number, or text of one."""
        for key in keys:
            value = self.values.get(key)
            if value is not None and (found := whole_number(value)) is not None:
                return found
        return None


def _is_empty(value: Any) -> bool:
    return value in _EMPTY_TEXTS if isinstance(value, str) else value is None or value in ([], {})


def _looks_like_json(text: str) -> bool:
    start = text[:1]
    return start in _JSON_STARTS or (start in _SPACES and text.lstrip(_SPACES)[:1] in _JSON_STARTS)


def number(value: Any) -> float | None:
    """Return an amount that was sent as a number or as text; None for anything else, and if it cannot be counted."""
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_LENGTH:
        text = value.strip(' "')
        try:
            value = int(text) if text.isdecimal() else float(text)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < math.inf else None


def whole_number(value: Any) -> int | None:
    """Return a count that was sent as a number or as text ("120", "120.0", "1,200"); None for anything else."""
    if isinstance(value, str) and _THOUSANDS.fullmatch(value):
        value = value.replace(",", "")
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def numbers_in(
    value: Any, names: Mapping[str, Iterable[str]], read: Callable[[Any], _Number | None]
) -> dict[str, _Number]:
    """Return by each of `names` the first number under one of its keys; empty if `value` is not a mapping."""
    found: dict[str, _Number] = {}
    for name, keys in names.items() if isinstance(value, dict) else ():
        amount = next((amount for key in keys if (amount := read(value.get(key))) is not None), None)
        if amount is not None:
            found[name] = amount
    return found
