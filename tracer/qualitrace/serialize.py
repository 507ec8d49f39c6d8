"""Converts any value into bounded text for a span attribute; never raises.

The structure is pruned while it is walked, so that the text stays valid JSON when something is cut, and a huge value
costs no more than a small one.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from itertools import islice
from typing import Any

LIMIT = 65_536  # characters of one attribute's text

CUT = "…[cut]"
MAX_DEPTH = 20
MAX_ITEMS = 1_000
JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"


def to_text(value: Any) -> tuple[str, str]:
    """Return the value as text and its MIME type: text stays text, the rest becomes JSON."""
    if isinstance(value, str):
        return _bounded(value), TEXT_TYPE
    return to_json(value), JSON_TYPE


def to_json(value: Any) -> str:
    """Return the value as JSON of at most `LIMIT` characters."""
    budget = LIMIT - 256  # the rest is for the marks of what was cut
    while len(text := json.dumps(_Pruner(budget).prune(value), ensure_ascii=False)) > LIMIT:
        budget //= 2  # many characters had to be escaped
    return without_surrogates(text)


def _bounded(text: str) -> str:
    return without_surrogates(text if len(text) <= LIMIT else text[:LIMIT] + CUT)


def without_surrogates(text: str) -> str:
    """Replace halves of characters (lone surrogates), which OTLP cannot carry."""
    return text.encode("utf-8", "replace").decode()


class _Pruner:
    """Copies one value until a budget of characters is used up."""

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._path: set[int] = set()

    def prune(self, value: Any) -> Any:
        """Return a copy of `value` in JSON's types."""
        try:
            return self._prune(value)
        except Exception:  # a value's own code raised: __repr__, a property, model_dump
            return f"<unreadable {type(value).__name__}>"

    def _prune(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self.prune(value.value)
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, (bool, int, float)):
            return self._scalar(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._text(f"<{len(value)} bytes>")
        return self._text(value.isoformat()) if isinstance(value, (date, time)) else self._container(value)

    def _scalar(self, value: float | None) -> Any:
        self._left -= 8
        if isinstance(value, float) and value - value != 0:
            return str(value)  # JSON has no NaN and no infinity
        if isinstance(value, int) and value.bit_length() > 64:
            return f"<integer of {value.bit_length()} bits>"
        return value

    def _text(self, value: str) -> str:
        kept = str(value)[: max(self._left, 0)]
        self._left -= len(kept) + 4  # quotes and separator
        return kept if len(kept) == len(value) else kept + CUT

    def _container(self, value: Any) -> Any:
        if id(value) in self._path or len(self._path) >= MAX_DEPTH:
            return self._text(f"<{type(value).__name__}>")
        self._path.add(id(value))
        try:
            if isinstance(value, (list, tuple, Set)):
                return self._list(value)
            mapping = as_mapping(value)
            return self._text(repr(value)) if mapping is None else self._dict(mapping)
        finally:
            self._path.discard(id(value))

    def _list(self, values: Any) -> list[Any]:
        kept: list[Any] = []
        for item in islice(values, MAX_ITEMS):
            if self._left <= 0:
                break
            kept.append(self.prune(item))
        return kept if len(kept) == len(values) else [*kept, CUT]

    def _dict(self, mapping: Mapping[Any, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, item in islice(mapping.items(), MAX_ITEMS):
            if self._left <= 0:
                break
            kept[self._text(key if isinstance(key, str) else repr(key))] = self.prune(item)
        return kept if len(kept) == len(mapping) else {**kept, CUT: len(mapping) - len(kept)}


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Return a mapping, a dataclass or a pydantic model as a mapping; None if the value is none of them."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return {item.name: getattr(value, item.name) for item in fields(value)}
    if callable(dump := getattr(value, "model_dump", None)):
        dumped = dump()
        return dumped if isinstance(dumped, Mapping) else None
    return None
