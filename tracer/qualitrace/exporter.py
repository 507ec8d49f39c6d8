"""The OTLP exporter, which redacts what it sends, in the exporting thread and on copies of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, Status

from qualitrace.redact import Redact


class RedactingExporter(OTLPSpanExporter):
    """Redacts the texts of every span: name, attributes, events, links and status, but not the resource.

    Args:
        redact: from text to text; never raises.
        options: those of OpenTelemetry's exporter.
    """

    def __init__(self, redact: Redact, **options: Any) -> None:
        super().__init__(**options)
        self._redact = redact

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send redacted copies of the spans."""
        return super().export([self._copy(span) for span in spans])

    def _copy(self, span: ReadableSpan) -> ReadableSpan:
        description = span.status.description
        return ReadableSpan(
            name=self._redact(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=self._value(span.attributes),
            events=[Event(self._redact(e.name), self._value(e.attributes), e.timestamp) for e in span.events],
            links=[Link(link.context, self._value(link.attributes)) for link in span.links],
            kind=span.kind,
            status=Status(span.status.status_code, None if description is None else self._redact(description)),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, Mapping):
            return {key: self._value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value(item) for item in value]
        return value
