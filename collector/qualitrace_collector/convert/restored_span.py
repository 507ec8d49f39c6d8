"""A stored span in OTLP's form again: it takes part when more of its trace is converted.

`restored` is the inverse of `stored_span`. Fields that conversion found before (`mlflow.*`) are kept as MLflow's own
clients send them, so that its dialect reads them again, and the others fill in what is still missing.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Span
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from qualitrace_collector.convert.content.opening import load_json
from qualitrace_collector.convert.otlp_values import otlp_pairs, otlp_value


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
                attributes=otlp_pairs((event["attributes"] or {}).items()),
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
    return otlp_value(value)


def _restored_link(link: Mapping[str, Any]) -> OtlpSpan.Link:
    return OtlpSpan.Link(
        trace_id=bytes.fromhex(link["trace_id"].removeprefix("tr-")),
        span_id=bytes.fromhex(link["span_id"]),
        attributes=otlp_pairs((link["attributes"] or {}).items()),
    )
