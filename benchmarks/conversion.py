"""Both conversions in turns, from OTLP spans to the mappings that MLflow stores, timed in CPU seconds of this process.

In turns, because clocks and caches of a busy machine change while the benchmark runs.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities import Span as MlflowSpan
from mlflow.tracing.otel.translation import translate_span_when_storing
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from intake.traces import templates
from qualitrace_collector.convert import convert
from qualitrace_collector.piece import Piece, SpanRecord

TRACES = 64
MIN_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """What qualitrace and MLflow do in a second of the same run; the subclass says of what."""

    qualitrace_per_second: float
    mlflow_per_second: float

    @property
    def ratio(self) -> float:
        """How many times as fast qualitrace is."""
        return self.qualitrace_per_second / self.mlflow_per_second

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True, kw_only=True)
class Conversion(SideBySide):
    """Spans per CPU second, the median over the rounds."""

    spans: int
    rounds: int


def compare_conversion(seconds: float) -> Conversion:
    """Convert the same traces with both, in turns, for at least `seconds`."""
    (template,) = templates(TRACES)
    pieces = pieces_of(template.fresh())
    spans = sum(len(piece.spans) for piece in pieces)
    ours: list[float] = []
    theirs: list[float] = []
    _with_qualitrace(pieces)  # the first call of each loads the price catalog
    _with_mlflow(pieces)
    end = time.monotonic() + seconds
    while len(ours) < MIN_ROUNDS or time.monotonic() < end:
        ours.append(spans / _timed(_with_qualitrace, pieces))
        theirs.append(spans / _timed(_with_mlflow, pieces))
    return Conversion(
        spans=spans,
        rounds=len(ours),
        qualitrace_per_second=statistics.median(ours),
        mlflow_per_second=statistics.median(theirs),
    )


def pieces_of(body: bytes) -> list[Piece]:
    """Return the traces of a request as the assembler would hand them on."""
    request = ExportTraceServiceRequest.FromString(body)
    by_trace: dict[bytes, list[SpanRecord]] = {}
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                by_trace.setdefault(span.trace_id, []).append(SpanRecord(span, group.resource, scope.scope))
    return [
        Piece(trace_id=trace_id, spans=tuple(records), logs=(), root_seen=True, positions=frozenset[int]())
        for trace_id, records in by_trace.items()
    ]


def _with_qualitrace(pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        convert(piece, "helpdesk")


def _with_mlflow(pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        for record in piece.spans:
            translate_span_when_storing(MlflowSpan.from_otel_proto(record.span, resource=record.resource))


def _timed(work: Callable[[Sequence[Piece]], None], pieces: Sequence[Piece]) -> float:
    started = time.process_time()
    work(pieces)
    return time.process_time() - started
