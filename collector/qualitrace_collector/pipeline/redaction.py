"""The tracer's redaction, for clients that have none: after the journal, before anything is stored or judged."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from qualitrace.redact import Redactor
from qualitrace_collector.person_feedback import LONGEST_COMMENT, LONGEST_WORD, PersonFeedback


class Redaction:
    """Redacts decoded requests in place, but not their resources and scopes. Without rules it does nothing."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._redact = Redactor(rules) if rules else None

    def take_counts(self) -> Mapping[str, int]:
        """Return the replacements by rule since the last call."""
        if self._redact is None:
            return {}
        counts, self._redact.counts = self._redact.counts, Counter()
        return counts

    def traces(self, request: ExportTraceServiceRequest) -> None:
        """Redact names, statuses and attributes of spans, events and links."""
        if self._redact is None:
            return
        for span in (s for group in request.resource_spans for scope in group.scope_spans for s in scope.spans):
            span.name = self._redact(span.name)
            if span.status.message:
                span.status.message = self._redact(span.status.message)
            self._attributes(span.attributes)
            for event in span.events:
                event.name = self._redact(event.name)
            for part in (*span.events, *span.links):
                self._attributes(part.attributes)

    def logs(self, request: ExportLogsServiceRequest) -> None:
        """Redact bodies and attributes of log records."""
        if self._redact is None:
            return
        for record in (r for group in request.resource_logs for scope in group.scope_logs for r in scope.log_records):
            self._value(record.body)
            self._attributes(record.attributes)

    def feedback(self, given: PersonFeedback) -> PersonFeedback:
        """Return the feedback with comment and value redacted, as far as they are text."""
        if self._redact is None:
            return given
        limits = {"comment": LONGEST_COMMENT, "value": LONGEST_WORD}  # a replacement may be longer than the text
        texts = {name: text for name in limits if isinstance(text := getattr(given, name), str)}
        return given.model_copy(update={name: self._redact(text)[: limits[name]] for name, text in texts.items()})

    def _attributes(self, pairs: Iterable[KeyValue]) -> None:
        for pair in pairs:
            self._value(pair.value)

    def _value(self, value: AnyValue | Any) -> None:
        if self._redact is None:
            return
        kind = value.WhichOneof("value")
        if kind == "string_value":
            value.string_value = self._redact(value.string_value)
        elif kind == "array_value":
            for item in value.array_value.values:
                self._value(item)
        elif kind == "kvlist_value":
            self._attributes(value.kvlist_value.values)
