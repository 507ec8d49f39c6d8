"""Builds pieces of traces as they reach the conversion."""

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


def pieces_in(request: ExportTraceServiceRequest) -> list[Piece]:
    """Return a request's traces, each as one piece."""
    traces: dict[bytes, list[SpanRecord]] = {}
    for record in span_records(request):
        traces.setdefault(record.span.trace_id, []).append(record)
    return [piece_of(*records) for records in traces.values()]
