"""Builds pieces of traces as they reach the conversion."""

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.piece import Piece, SpanRecord, span_records


def piece_of(*spans: Span | SpanRecord, scope: str = "", logs: tuple[LogRecord, ...] = (), whole: bool = True) -> Piece:
    """Return a piece of one trace.

    Args:
        scope: the instrumentation scope of spans that come without a record.
        whole: the local root is among the spans.
    """
    made_by = InstrumentationScope(name=scope)
    records = tuple(item if isinstance(item, SpanRecord) else SpanRecord(item, Resource(), made_by) for item in spans)
    trace_id = records[0].span.trace_id
    return Piece(trace_id=trace_id, spans=records, logs=logs, root_seen=whole, positions=frozenset({1}))


def pieces_in(request: ExportTraceServiceRequest, logs: ExportLogsServiceRequest | None = None) -> list[Piece]:
    """Return a request's traces, each as one piece with its log records."""
    traces: dict[bytes, list[SpanRecord]] = {}
    for record in span_records(request):
        traces.setdefault(record.span.trace_id, []).append(record)
    scopes = [scope for resource in (logs.resource_logs if logs else ()) for scope in resource.scope_logs]
    said = [record for scope in scopes for record in scope.log_records]
    return [
        piece_of(*records, logs=tuple(record for record in said if record.trace_id == trace_id))
        for trace_id, records in traces.items()
    ]
