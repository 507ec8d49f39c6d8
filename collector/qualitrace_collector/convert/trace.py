"""A piece of an OTLP trace to MLflow spans, by MLflow's own translation of the dialects."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mlflow.entities import Span as MlflowSpan
from mlflow.tracing.otel.translation import translate_span_when_storing
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.assemble import Piece, SpanRecord
from qualitrace_collector.convert.sample import question_and_answer, root_of

GENAI_PREFIXES = (
    "gen_ai.",
    "llm.",
    "openinference.",
    "traceloop.",
    "mlflow.span",
    "ai.",
    "langfuse.",
    "langsmith.",
    "input.value",
    "output.value",
)
"""Attribute names that mark a span as one of a GenAI library, over all dialects."""

UNKNOWN_SERVICE = "unknown_service"
"""The default of OpenTelemetry's resource specification for a missing `service.name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedTrace:
    """Spans of one trace in MLflow's form.

    Attributes:
        trace_id: MLflow's (`tr-` and 32 hex digits).
        service: the service that the trace is stored and counted under.
        spans: as MLflow's stores take them.
        translated: the same as they will read back: inputs, outputs, types and tokens filled in.
        is_genai: some span carries attributes of a GenAI library.
        tracestate: of the local root; tells head sampling.
    """

    trace_id: str
    service: str
    spans: tuple[MlflowSpan, ...]
    translated: tuple[MlflowSpan, ...]
    is_genai: bool
    tracestate: str
    piece: Piece


def mlflow_trace_id(piece: Piece) -> str:
    """Return the id that MLflow gives to an OpenTelemetry trace."""
    return f"tr-{piece.trace_id.hex()}"


def service_of(piece: Piece) -> str:
    """Return `service.name` of the local root's resource, else of any of the piece's resources."""
    records = _by_start(piece)
    return _service_name([_local_root(records).resource, *(record.resource for record in records)])


def convert(piece: Piece, service: str) -> ConvertedTrace:
    """Convert the spans of one trace; log records with GenAI content become events of their span.

    Raises:
        ValueError: a span cannot be expressed in MLflow's form.
    """
    records = _by_start(piece)
    is_genai = any(_is_genai(record.span) for record in records)
    events = _events_by_span(piece.logs)
    records = [
        replace(record, span=_extended(record.span, events=events.get(record.span.span_id))) for record in records
    ]
    spans = [_mlflow_span(record) for record in records]
    translated = [_translated(span) for span in spans]
    if is_genai and (promoted := _root_with_content(records, translated)):
        index, record = promoted
        spans[index] = _mlflow_span(record)
        translated[index] = _translated(spans[index])
    return ConvertedTrace(
        trace_id=mlflow_trace_id(piece),
        service=service,
        spans=tuple(spans),
        translated=tuple(translated),
        is_genai=is_genai,
        tracestate=_local_root(records).span.trace_state,
        piece=piece,
    )


def _mlflow_span(record: SpanRecord) -> MlflowSpan:
    return MlflowSpan.from_otel_proto(record.span, resource=record.resource)


def _translated(span: MlflowSpan) -> MlflowSpan:
    return MlflowSpan.from_dict(translate_span_when_storing(span))


def _root_with_content(records: list[SpanRecord], translated: list[MlflowSpan]) -> tuple[int, SpanRecord] | None:
    """Give a root without content (an HTTP server's span) the question and answer found below it.

    MLflow's lists and previews show the root's inputs and outputs. Returns the root's index and its new record, or
    None if it has content of its own or none was found.
    """
    root = root_of(translated)
    question, answer = question_and_answer(translated)
    found = {"mlflow.spanInputs": (root.inputs, question), "mlflow.spanOutputs": (root.outputs, answer)}
    content = {key: json.dumps(text) for key, (own, text) in found.items() if own is None and text}
    if not content:
        return None
    index = translated.index(root)
    attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in content.items()]
    return index, replace(records[index], span=_extended(records[index].span, attributes=attributes))


def otlp_request(piece: Piece) -> ExportTraceServiceRequest:
    """Put the spans of a piece back into the request form, for the dead-letter table."""
    request = ExportTraceServiceRequest()
    for record in piece.spans:
        resource_spans = request.resource_spans.add(resource=record.resource)
        resource_spans.scope_spans.add(scope=record.scope, spans=[record.span])
    return request


def _by_start(piece: Piece) -> list[SpanRecord]:
    return sorted(piece.spans, key=lambda record: record.span.start_time_unix_nano)


def _local_root(records: list[SpanRecord]) -> SpanRecord:
    ids = {record.span.span_id for record in records}
    tops = [record for record in records if record.span.parent_span_id not in ids]
    return min(tops or records, key=lambda record: bool(record.span.parent_span_id))


def _service_name(resources: Iterable[Resource]) -> str:
    for resource in resources:
        for attribute in resource.attributes:
            if attribute.key == "service.name" and attribute.value.string_value:
                return attribute.value.string_value
    return UNKNOWN_SERVICE


def _is_genai(span: Span) -> bool:
    return any(attribute.key.startswith(GENAI_PREFIXES) for attribute in span.attributes) or any(
        event.name.startswith("gen_ai.") for event in span.events
    )


def _events_by_span(logs: Iterable[LogRecord]) -> dict[bytes, list[Span.Event]]:
    """Turn log records into span events: name, time, attributes, and the fields of a structured body."""
    events: dict[bytes, list[Span.Event]] = {}
    for record in logs:
        name = record.event_name or _attribute(record.attributes, "event.name")
        event = Span.Event(
            name=name,
            time_unix_nano=record.time_unix_nano or record.observed_time_unix_nano,
            attributes=[*record.attributes, *_body_fields(record.body)],
        )
        events.setdefault(record.span_id, []).append(event)
    return events


def _attribute(attributes: Iterable[KeyValue], key: str) -> str:
    return next((item.value.string_value for item in attributes if item.key == key), "")


def _body_fields(body: AnyValue) -> list[KeyValue]:
    if body.HasField("kvlist_value"):
        return list(body.kvlist_value.values)
    return [KeyValue(key="body", value=body)] if body.WhichOneof("value") else []


def _extended(
    span: Span, events: Iterable[Span.Event] | None = None, attributes: Iterable[KeyValue] | None = None
) -> Span:
    """Return the span with more events or attributes; the received one stays as it was."""
    if not events and not attributes:
        return span
    extended = Span()
    extended.CopyFrom(span)
    extended.events.extend(events or ())
    extended.attributes.extend(attributes or ())
    return extended
