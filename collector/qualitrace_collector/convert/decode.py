"""OTLP attribute values to Python values."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def attribute_values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes by name; of names that come twice the last counts, as in MLflow."""
    values: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        is_text = value.WhichOneof("value") == "string_value"  # most are, and this loop is the hottest of all
        values[pair.key] = _text(value.string_value) if is_text else any_value(value)
    return values


def any_value(value: AnyValue) -> Any:
    """Return the Python value of an `AnyValue`: text, number, boolean, bytes, list, mapping or None."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return _text(value.string_value)
    if kind == "array_value":
        return [any_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attribute_values(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd") if "\0" in text else text  # PostgreSQL keeps no zero byte
