"""Recorded text to the value that it stands for: JSON, LangChain's serialised objects, Python's way to show values.

Each reader of this room opens a value before it looks at it. Text that is none of these stays as it is.
"""

import json
from typing import Any

from pydantic_core import from_json

from qualitrace_collector.convert.content.python_repr import read_repr

MAX_DEPTH = 12
"""How deep the readers of this room look into nested values."""

_DECODER = json.JSONDecoder()

CLASS = "__class__"
"""Key under which an opened object keeps the name of its class."""


def encodable(text: str) -> str:
    """Replace lone surrogates (JSON escapes can hold them), which neither databases nor HTTP can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def parsed(value: Any) -> Any:
    """Open a string that holds a JSON object or array; return anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # no JSON, or nested deeper than the stack
            return value
    return value


def opened(value: Any) -> Any:
    """Open JSON text, streams as text, Python's repr and LangChain's constructors; return the rest as it is."""
    value = parsed(value)
    if isinstance(value, str):
        shown = _lines(value) or _cut(value) or read_repr(value)
        return value if shown is None else shown
    if isinstance(value, dict) and value.get("lc") == 1 and isinstance(value.get("id"), list):
        return _constructor(value)
    return value


def _cut(text: str) -> Any:
    """Return what is left of JSON that an SDK cut off (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT), None if it is none."""
    if not text.startswith(('{"', '[{"')) or text.rstrip()[-1:] in ("}", "]") or _begins_with_json(text):
        return None
    try:
        found = from_json(encodable(text), allow_partial="trailing-strings")
    except ValueError:
        return None
    return found if isinstance(found, (dict, list)) and found else None


def _begins_with_json(text: str) -> bool:
    """Whether text is JSON with words behind it."""
    try:
        _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _constructor(value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an object that `langchain_core.load.dumpd` wrote, with the name of its class."""
    fields = value.get("kwargs")
    name = str(value["id"][-1]) if value["id"] else ""
    return {CLASS: name, **(fields if isinstance(fields, dict) else {})}


def _lines(text: str) -> list[Any] | None:
    """Return the objects of a stream that was recorded as text, None if it is none.

    They are the data of server-sent events, or stand one a line (Ollama's).
    """
    if text.startswith("data:"):
        lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    elif text.startswith("{") and "}\n{" in text:
        lines = text.splitlines()
    else:
        return None
    found = [parsed(line) for line in lines if line.strip() not in ("", "[DONE]")]
    return found if found and all(isinstance(item, dict) for item in found) else None


def at(value: Any, *path: str | int) -> Any:
    """Return what stands at a path of keys and positions in nested values, None if nothing does."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def as_sent(value: Any) -> str:
    """Write a value as a client would have sent it: text as it is, all else as JSON."""
    if isinstance(value, str):
        return encodable(value)
    try:
        return encodable(json.dumps(_without_class(value), ensure_ascii=False, default=str))
    except (ValueError, RecursionError):  # nested deeper than the stack
        return ""


def _without_class(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, dict):
        return {key: _without_class(item, depth + 1) for key, item in value.items() if key != CLASS}
    return [_without_class(item, depth + 1) for item in value] if isinstance(value, list) else value


def is_blank(value: Any, depth: int = 0) -> bool:
    """Whether a value holds no text and no number, however it is nested (LangChain streams start with empty ones)."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (dict, list)):
        items = value.values() if isinstance(value, dict) else value
        return depth <= _MAX_BLANK_DEPTH and all(is_blank(item, depth + 1) for item in items)
    return value is None


_MAX_BLANK_DEPTH = 100
