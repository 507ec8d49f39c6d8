"""What may pass: a bad span or log record is taken out and told; its neighbours stay.

The rules are those of the OTLP schema: a trace id has 16 bytes, a span id 8, neither all zero; a parent's id
may be empty; a span ends no earlier than it starts. Names may be empty.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_RULES = {
    "trace_id": "trace_id must be 16 bytes, not all zero",
    "span_id": "span_id must be 8 bytes, not all zero",
    "parent_span_id": "parent_span_id must be empty or 8 bytes",
    "end_before_start": "end_time_unix_nano is before start_time_unix_nano",
}
_NO_TRACE_ID = bytes(16)
_NO_SPAN_ID = bytes(8)


@dataclass(slots=True)
class Verdict:
    """What validation left of a request.

    Attributes:
        kept: items that are still in the request.
        rejected: items taken out, by reason.
        first: where the first item of each reason stood.
    """

    kept: int = 0
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
    """Take the invalid spans out of `request`."""
    return _sift(
        (
            (scope.spans, f"resource_spans[{i}].scope_spans[{j}].spans")
            for i, resource in enumerate(request.resource_spans)
            for j, scope in enumerate(resource.scope_spans)
        ),
        _span_fault,
    )


def check_logs(request: ExportLogsServiceRequest) -> Verdict:
    """Take the log records out of `request` that belong to no trace: no span could be given their content."""
    return _sift(
        (
            (scope.log_records, f"resource_logs[{i}].scope_logs[{j}].log_records")
            for i, resource in enumerate(request.resource_logs)
            for j, scope in enumerate(resource.scope_logs)
        ),
        _record_fault,
    )


def _span_fault(span: Span) -> str | None:
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE_ID:
        return "trace_id"
    if len(span_id) != 8 or span_id == _NO_SPAN_ID:
        return "span_id"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        return "end_before_start"
    return None


def _record_fault(record: LogRecord) -> str | None:
    if len(record.trace_id) != 16 or record.trace_id == _NO_TRACE_ID:
        return "trace_id"
    if len(record.span_id) not in (0, 8):
        return "span_id"
    return None


def _sift(lists: Iterable[tuple[Any, str]], fault_of: Callable[[Any], str | None]) -> Verdict:
    verdict = Verdict()
    for items, place in lists:
        faults = [(index, fault) for index, item in enumerate(items) if (fault := fault_of(item))]
        verdict.kept += len(items) - len(faults)
        for index, fault in faults:
            verdict.rejected[fault] += 1
            verdict.first.setdefault(fault, f"{place}[{index}]")
        if faults:
            _remove(items, {index for index, _ in faults})
    return verdict


def _remove(items: Any, indexes: set[int]) -> None:
    """Drop the items at `indexes` in linear time (deleting one by one is quadratic)."""
    kept = [item for index, item in enumerate(items) if index not in indexes]
    del items[:]
    items.extend(kept)
