"""OTLP's values as Python's, and spans that were read back from MLflow in the form of OTLP.

A stored span takes part when more of its trace is converted: `restored` is the inverse of `mlflow_span.py`. Fields that
conversion found before (`mlflow.*`) are kept as MLflow's own clients send them, so that its dialect reads them again,
and the others fill in what is still missing.
"""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from mlflow.entities import Span as MlflowSpan
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qualitrace_collector.convert.content.opening import load_json

_MAX_INT = 1 << 63
_FIELDS = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}


def attribute_values(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes by name; if a name comes twice, the last one counts, as in MLflow."""
    values: dict[str, Any] = {}
    for pair in pairs:
        value = pair.value
        is_text = value.WhichOneof("value") == "string_value"  # most are; this is the hottest loop of conversion
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
    return text.replace("\0", "\ufffd") if "\0" in text else text  # PostgreSQL refuses a zero byte


def restored(span: MlflowSpan) -> Span:
    """Return the OTLP span. Its flags and trace state are empty: MLflow does not store them."""
    data = span.to_dict()
    status = data["status"]
    return Span(
        trace_id=b64decode(data["trace_id"]),
        span_id=b64decode(data["span_id"]),
        parent_span_id=b64decode(data["parent_span_id"] or ""),
        name=data["name"],
        start_time_unix_nano=data["start_time_unix_nano"],
        end_time_unix_nano=data["end_time_unix_nano"] or 0,
        attributes=[KeyValue(key=key, value=_attribute(key, text)) for key, text in data["attributes"].items()],
        events=[
            Span.Event(
                name=event["name"],
                time_unix_nano=event["time_unix_nano"],
                attributes=_pairs((event["attributes"] or {}).items()),
            )
            for event in data["events"]
        ],
        links=[_link(link) for link in data.get("links") or ()],
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


def _link(link: Mapping[str, Any]) -> Span.Link:
    return Span.Link(
        trace_id=bytes.fromhex(link["trace_id"].removeprefix("tr-")),
        span_id=bytes.fromhex(link["span_id"]),
        attributes=_pairs((link["attributes"] or {}).items()),
    )
