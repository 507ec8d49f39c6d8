"""Spans of one trace that are due together, each with what it was sent under; and which span is their local root."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags

_REMOTE_KNOWN = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

# An event is sent in two bytes or more, and takes this much more in work: memory, and as much time as long text.
EVENT_BYTES = 200

_Id = TypeVar("_Id", bytes, str)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span with the resource and the scope it was sent under, and the tenant whose trace it belongs to, if any."""

    span: Span
    resource: Resource
    scope: InstrumentationScope
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Spans of one trace that are due together: all of it, or what came since the last piece.

    Attributes:
        trace_id: the 16 bytes of OTLP.
        root_seen: a local root is among the spans, or was waited for in vain.
        positions: the journal's positions of the requests that the spans came in.
        last_at: when the last of it came, in Unix seconds.
        conflicts: spans left out because a different one with their id came before.
        excess: spans and log records left out because the trace has so many, or such large ones.
    """

    trace_id: bytes
    spans: tuple[SpanRecord, ...]
    logs: tuple[LogRecord, ...]
    root_seen: bool
    positions: frozenset[int]
    conflicts: int = 0
    excess: int = 0
    last_at: float = 0.0

    @property
    def tenant(self) -> str:
        """The tenant whose trace it is; empty without tenants."""
        return self.spans[0].tenant if self.spans else ""


def size_with_events(span: Span) -> int:
    """Return the size of a span in bytes, with what each event, link and their attributes take beyond those sent."""
    size = span.ByteSize()
    if span.events or span.links:
        size += EVENT_BYTES * sum(1 + len(part.attributes) for part in (*span.events, *span.links))
    return size


def span_records(request: ExportTraceServiceRequest, tenant: str = "") -> Iterator[SpanRecord]:
    """Yield the spans of a request, each with its resource and scope."""
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                yield SpanRecord(span, group.resource, scope.scope, tenant)


def requests_of(piece: Piece) -> tuple[ExportTraceServiceRequest, ExportLogsServiceRequest]:
    """Return the spans and the log records of a piece as OTLP requests."""
    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    # Spans that came together share their resource: a large one must not be copied for each.
    for _, group in groupby(piece.spans, lambda record: (id(record.resource), id(record.scope))):
        first, *rest = group
        resource_spans = traces.resource_spans.add(resource=first.resource)
        resource_spans.scope_spans.add(scope=first.scope, spans=[record.span for record in (first, *rest)])
    if piece.logs:
        logs.resource_logs.add().scope_logs.add(log_records=piece.logs)
    return traces, logs


def is_local_root(span: Span, span_ids: Container[bytes]) -> bool:
    """Whether a span's parent is not in the same process, as far as can be said while spans are still coming.

    Args:
        span_ids: of the trace's spans that have come.
    """
    if not span.parent_span_id.strip(b"\0"):
        return True
    if span.flags & _REMOTE_KNOWN:
        return bool(span.flags & _REMOTE)
    return span.parent_span_id not in span_ids


def local_roots(spans: Iterable[_T], links: Callable[[_T], tuple[_Id, _Id | None, int]]) -> list[_T]:
    """Return the spans whose parent is not among them, the trace's local root first.

    That is one without any parent, else the earliest. If the parents form a circle, all spans are returned.

    Args:
        spans: those of a trace, in any form.
        links: returns a span's id, its parent's (empty or None if it has none), and its start.
    """
    linked = [(links(span), span) for span in spans]
    ids = {own_id for (own_id, _, _), _ in linked}
    tops = [item for item in linked if item[0][1] not in ids] or linked
    if len(tops) > 1:
        tops.sort(key=lambda item: (bool(item[0][1]), item[0][2]))
    return [span for _, span in tops]


def links_of(span: Span) -> tuple[bytes, bytes, int]:
    """Return the links of an OTLP span for `local_roots`."""
    return span.span_id, span.parent_span_id, span.start_time_unix_nano
