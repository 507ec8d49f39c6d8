"""A piece of an OTLP trace to MLflow spans, by MLflow's own translation of the dialects."""

from collections.abc import Iterable
from dataclasses import dataclass

from mlflow.entities import Span as MlflowSpan
from mlflow.tracing.otel.translation import translate_span_when_storing
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.assemble import Piece, SpanRecord

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
        spans: as MLflow's stores take them, not yet translated.
        is_genai: some span carries attributes of a GenAI library.
        tracestate: of the local root; tells head sampling.
    """

    trace_id: str
    service: str
    spans: tuple[MlflowSpan, ...]
    is_genai: bool
    tracestate: str
    piece: Piece

    def translated_spans(self) -> list[MlflowSpan]:
        """Return the spans as they will read back from MLflow: inputs, outputs, types and tokens filled in."""
        return [MlflowSpan.from_dict(translate_span_when_storing(span)) for span in self.spans]


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
    events = _events_by_span(piece.logs)
    return ConvertedTrace(
        trace_id=mlflow_trace_id(piece),
        service=service,
        spans=tuple(
            MlflowSpan.from_otel_proto(_with_events(record.span, events), resource=record.resource)
            for record in records
        ),
        is_genai=any(_is_genai(record.span) for record in records),
        tracestate=_local_root(records).span.trace_state,
        piece=piece,
    )


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
    return next((record for record in records if record.span.parent_span_id not in ids), records[0])


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


def _with_events(span: Span, events: dict[bytes, list[Span.Event]]) -> Span:
    extra = events.get(span.span_id)
    if not extra:
        return span
    enriched = Span()
    enriched.CopyFrom(span)
    enriched.events.extend(extra)
    return enriched
