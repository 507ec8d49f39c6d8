"""Spans of one trace that are due together, each with what it was sent under."""

from dataclasses import dataclass

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span


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
    """

    trace_id: bytes
    spans: tuple[SpanRecord, ...]
    logs: tuple[LogRecord, ...]
    root_seen: bool
    positions: frozenset[int]
    conflicts: int = 0
    last_at: float = 0.0
