"""Values of attributes: from OTLP's form into Python's, and back."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

_MAX_INT = 1 << 63
_FIELDS = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}


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


def otlp_value(value: Any) -> AnyValue:
    """Return the `AnyValue` of a Python value; what OTLP has no form for becomes text."""
    if value is None:
        return AnyValue()
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=otlp_pairs(value.items())))
    if isinstance(value, (list, tuple)):
        return AnyValue(array_value=ArrayValue(values=[otlp_value(item) for item in value]))
    field = _FIELDS.get(type(value))
    if field is None or (field == "int_value" and not -_MAX_INT <= value < _MAX_INT):
        return AnyValue(string_value=str(value))
    return AnyValue(**{field: value})


def otlp_pairs(items: Iterable[tuple[str, Any]]) -> list[KeyValue]:
    """Return attributes in OTLP's form."""
    return [KeyValue(key=key, value=otlp_value(value)) for key, value in items]
