"""What may pass: a bad span or log record is taken out and told; its neighbours stay.

The rules are those of the OTLP schema: a trace id has 16 bytes, a span id 8, neither all zero; a parent's id
may be empty. Names may be empty. A span that ends before it starts is kept with a duration of 0: clocks are set back,
and what it holds is good. Log records are taken for the content they hold of a GenAI span, so they must name one: an
application's other logs belong elsewhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_RULES = {
    "trace_id": "trace_id must be 16 bytes, not all zero",
    "span_id": "span_id must be 8 bytes, not all zero",
    "parent_span_id": "parent_span_id must be empty or 8 bytes",
    "not_genai": "only log records of GenAI instrumentations are taken; send the others to a log store",
    "tenant": "trace belongs to another tenant",
}
END_BEFORE_START = "end_before_start"
GENAI_SCOPES = (
    "opentelemetry.instrumentation.genai.",
    "opentelemetry.instrumentation.openai_v2",
    "opentelemetry.util.genai",
    "openinference.instrumentation.",
    "gcp.vertex.agent",
    "pydantic-ai",
)
"""How the scopes of instrumentations begin whose log records carry prompts and answers."""

_GENAI = "gen_ai."
_NO_TRACE_ID = bytes(16)
_NO_SPAN_ID = bytes(8)


@dataclass(slots=True)
class Verdict:
    """What validation left of a request.

    Attributes:
        kept: items that are still in the request.
        adjusted: items among them that were changed to be valid, by reason.
        rejected: items taken out, by reason.
        first: where the first item of each reason stood.
    """

    kept: int = 0
    adjusted: Counter[str] = field(default_factory=Counter[str])
    rejected: Counter[str] = field(default_factory=Counter[str])
    first: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def message(self) -> str:
        """Say for each reason the rule, how many items broke it, and where the first one stood."""
        return "; ".join(
            f"{count} rejected: {_RULES[reason]} (first: {self.first[reason]})"
            for reason, count in self.rejected.items()
        )


def check_traces(request: ExportTraceServiceRequest) -> Verdict:
    """Take the invalid spans out of `request`; let none of the others end before it starts."""
    verdict = _sift(
        (
            (scope.spans, f"resource_spans[{i}].scope_spans[{j}].spans", _span_fault)
            for i, resource in enumerate(request.resource_spans)
            for j, scope in enumerate(resource.scope_spans)
        )
    )
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                if span.end_time_unix_nano < span.start_time_unix_nano:
                    span.end_time_unix_nano = span.start_time_unix_nano
                    verdict.adjusted[END_BEFORE_START] += 1
    return verdict


def check_logs(request: ExportLogsServiceRequest) -> Verdict:
    """Take the log records out of `request` that give no GenAI span its content."""
    return _sift(
        (
            (scope.log_records, f"resource_logs[{i}].scope_logs[{j}].log_records", _record_rule(scope.scope))
            for i, resource in enumerate(request.resource_logs)
            for j, scope in enumerate(resource.scope_logs)
        )
    )


def _span_fault(span: Span) -> str | None:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE_ID:
        return "trace_id"
    if len(span_id) != 8 or span_id == _NO_SPAN_ID:
        return "span_id"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id"
    return None


def _record_rule(scope: InstrumentationScope) -> Callable[[LogRecord], str | None]:
    genai_scope = scope.name.startswith(GENAI_SCOPES)

    def fault(record: LogRecord) -> str | None:
        if len(record.trace_id) != 16 or record.trace_id == _NO_TRACE_ID:
            return "trace_id"
        if len(record.span_id) != 8 or record.span_id == _NO_SPAN_ID:
            return "span_id"
        return None if genai_scope or _is_genai(record) else "not_genai"

    return fault


def _is_genai(record: LogRecord) -> bool:
    """Tell by the event's name, which older SDKs send as the attribute `event.name`, or by an attribute's."""
    return record.event_name.startswith(_GENAI) or any(
        attribute.key.startswith(_GENAI)
        or (attribute.key == "event.name" and attribute.value.string_value.startswith(_GENAI))
        for attribute in record.attributes
    )


def _sift(lists: Iterable[tuple[Any, str, Callable[[Any], str | None]]]) -> Verdict:
    verdict = Verdict()
    for items, place, fault_of in lists:
        faults = [(index, fault) for index, item in enumerate(items) if (fault := fault_of(item))]
        verdict.kept += len(items) - len(faults)
        for index, fault in faults:
            verdict.rejected[fault] += 1
            verdict.first.setdefault(fault, f"{place}[{index}]")
        if faults:
            remove(items, {index for index, _ in faults})
    return verdict


def remove(items: Any, indexes: set[int]) -> None:
    """Drop the items at `indexes` in linear time (deleting one by one is quadratic)."""
    kept = [item for index, item in enumerate(items) if index not in indexes]
    del items[:]
    items.extend(kept)
