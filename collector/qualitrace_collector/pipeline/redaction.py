"""The tracer's redaction, for clients that have none: after the journal, before anything is stored or judged."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from qualitrace.redaction.attributes import is_sender, redacted_bytes, redacted_key, redacted_number
from qualitrace.redaction.feedback_copy import redacted_feedback
from qualitrace.redaction.redactor import Redactor, TextsSeen
from qualitrace_collector.person_feedback import LONGEST_COMMENT, LONGEST_WORD, PersonFeedback

_LIMITS = {"comment": LONGEST_COMMENT, "value": LONGEST_WORD, "user": LONGEST_WORD, "name": LONGEST_WORD}

# The texts of a larger request are searched one after the other: together they may take eight times its size.
_MOST_SEARCHED_AT_ONCE = 2 << 20

_Request = TypeVar("_Request", ExportTraceServiceRequest, ExportLogsServiceRequest)


class Redaction:
    """Redacts decoded requests in place. Without rules it does nothing."""

    def __init__(self, rules: Sequence[str]) -> None:
        self._redact = Redactor(rules) if rules else None

    def take_counts(self) -> Mapping[str, int]:
        """Return the replacements by rule since the last call."""
        if self._redact is None:
            return {}
        counts = Counter(self._redact.counts)
        self._redact.counts.clear()
        return counts

    def traces(self, request: ExportTraceServiceRequest) -> None:
        """Redact names, statuses and attributes of spans, events, links, scopes and resources."""
        if self._redact is not None and not self._keeps(request, _Walk.traces):
            _Walk(self._redact).traces(request)

    def logs(self, request: ExportLogsServiceRequest) -> None:
        """Redact bodies and attributes of log records, scopes and resources."""
        if self._redact is not None and not self._keeps(request, _Walk.logs):
            _Walk(self._redact).logs(request)

    def _keeps(self, request: _Request, walk: Callable[["_Walk", _Request], None]) -> bool:
        """Return whether it is sure, after one search over all texts of a small request, that none would change."""
        if self._redact is None or request.ByteSize() > _MOST_SEARCHED_AT_ONCE:
            return False
        walk(_Walk(seen := TextsSeen()), request)
        return self._redact.keeps(seen)

    def feedback(self, given: PersonFeedback) -> PersonFeedback:
        """Return the feedback redacted."""
        if self._redact is None:
            return given
        made = redacted_feedback(self._redact, given.model_dump())
        for name, limit in _LIMITS.items():  # a replacement may be longer than the text
            if isinstance(made[name], str):
                made[name] = made[name][:limit]
        return given.model_copy(update=made)


class _Walk:
    """Asks a redactor for each text of a request, and writes what it says."""

    def __init__(self, redact: Redactor | TextsSeen) -> None:
        self._redact = redact

    def traces(self, request: ExportTraceServiceRequest) -> None:
        for group in request.resource_spans:
            self._resource(group.resource)
            for scope in group.scope_spans:
                self._scope(scope.scope)
                for span in scope.spans:
                    self._text(span, "name")
                    self._text(span.status, "message")
                    self._attributes(span.attributes)
                    for event in span.events:
                        self._text(event, "name")
                    for part in (*span.events, *span.links):
                        self._attributes(part.attributes)

    def logs(self, request: ExportLogsServiceRequest) -> None:
        for group in request.resource_logs:
            self._resource(group.resource)
            for scope in group.scope_logs:
                self._scope(scope.scope)
                for record in scope.log_records:
                    self._value("", record.body)
                    self._attributes(record.attributes)

    def _text(self, message: Any, field: str) -> None:
        text = getattr(message, field)
        if text and (found := self._redact(text)) != text:
            setattr(message, field, found)

    def _resource(self, resource: Resource) -> None:
        for pair in resource.attributes:
            if not is_sender(pair.key):
                self._pair(pair)

    def _scope(self, scope: InstrumentationScope) -> None:
        self._text(scope, "name")
        self._text(scope, "version")
        self._attributes(scope.attributes)

    def _attributes(self, pairs: "RepeatedCompositeFieldContainer[KeyValue]") -> None:
        for pair in pairs:
            self._pair(pair)

    def _pair(self, pair: KeyValue) -> None:
        self._value(pair.key, pair.value)
        if (key := redacted_key(self._redact, pair.key)) != pair.key:
            pair.key = key

    def _value(self, key: str, value: AnyValue) -> None:
        kind = value.WhichOneof("value")
        if kind == "string_value":
            if (found := self._redact.value(key, text := value.string_value)) != text:
                value.string_value = found
        elif kind == "bytes_value":
            if (data := redacted_bytes(self._redact, key, value.bytes_value)) != value.bytes_value:
                value.bytes_value = data
        elif kind == "int_value":
            if isinstance(found := redacted_number(self._redact, key, value.int_value), str):
                value.string_value = found
        elif kind == "array_value":
            for item in value.array_value.values:
                self._value(key, item)
        elif kind == "kvlist_value":
            self._attributes(value.kvlist_value.values)
