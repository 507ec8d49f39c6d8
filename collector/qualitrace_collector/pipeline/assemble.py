"""Spans to traces: a trace is due when its local root has ended and nothing came for a quiet period.

A span is a local root if it has no parent, or a remote one (OTLP span flags 0x100 and 0x200, "parent is
remote"), or if it does not say and its parent is still missing after the quiet period. Spans whose parent is
known to be local wait for it: exporters send a span when it ends, so a missing local parent is still running, or was
filtered out. What waits for longer than the orphan period since its last span is taken for the latter.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.piece import Piece, SpanRecord, is_local_root, size_with_events


@dataclass(slots=True)
class _OpenTrace:
    opened_at: float
    last_at: float = 0.0
    spans: dict[bytes, SpanRecord] = field(default_factory=dict[bytes, SpanRecord])
    logs: list[LogRecord] = field(default_factory=list[LogRecord])
    positions: set[int] = field(default_factory=set[int])
    size: int = 0
    conflicts: int = 0
    excess: int = 0

    def has_local_root(self) -> bool:
        return any(is_local_root(record.span, self.spans) for record in self.spans.values())


class Assembler:
    """Holds open traces.

    Args:
        quiet_period: seconds without a new span after which a trace with a local root is complete.
        orphan_period: seconds without a new span after which a trace without one is complete.
        max_open: seconds after which a trace without one is handed on unfinished.
        max_trace_spans: spans that a trace may have; those beyond are left out, and counted.
        max_trace_size: their bytes, likewise.
        ended: returns those of some traces that were complete before: their spans are late, and wait for no root.
    """

    def __init__(
        self,
        quiet_period: float,
        orphan_period: float,
        max_open: float,
        max_trace_spans: int,
        max_trace_size: int,
        ended: Callable[[Sequence[bytes]], Container[bytes]] = lambda _: (),
    ) -> None:
        self._quiet_period = quiet_period
        self._orphan_period = orphan_period
        self._max_open = max_open
        self._max_trace_spans = max_trace_spans
        self._max_trace_size = max_trace_size
        self._ended = ended
        self._open: dict[bytes, _OpenTrace] = {}  # in the order in which they were opened
        # Both are in the order of the traces' last spans, so that `due` looks at the first of each and not at all:
        self._active: dict[bytes, _OpenTrace] = {}  # not looked at since their last span
        self._rootless: dict[bytes, _OpenTrace] = {}  # looked at, and without a local root
        self._now = 0.0

    def add_spans(self, position: int, records: Iterable[SpanRecord], now: float) -> None:
        """Add the spans of the journal entry at `position`; of several with the same id the first is kept."""
        for record in records:
            trace = self._trace(record.span.trace_id, position, now)
            if held := trace.spans.get(record.span.span_id):
                trace.conflicts += held.span != record.span
                continue
            size = size_with_events(record.span)
            if len(trace.spans) >= self._max_trace_spans or trace.size + size > self._max_trace_size:
                trace.excess += 1
                continue
            trace.spans[record.span.span_id] = record
            trace.size += size

    def add_logs(self, position: int, records: Iterable[LogRecord], now: float) -> None:
        """Add log records that carry content of their span."""
        for record in records:
            trace, size = self._trace(record.trace_id, position, now), record.ByteSize()
            if len(trace.logs) >= self._max_trace_spans or trace.size + size > self._max_trace_size:
                trace.excess += 1
                continue
            trace.logs.append(record)
            trace.size += size

    def holds(self, trace_id: bytes) -> bool:
        """Whether some of a trace waits here."""
        return trace_id in self._open

    def due(self, now: float, *, stopping: bool = False) -> list[Piece]:
        """Take out what is complete or has waited too long; when `stopping`, complete traces need no quiet period."""
        self._set_clock(now)
        quiet = dict(takewhile(lambda item: now - item[1].last_at >= self._quiet_period, self._active.items()))
        for trace_id in quiet:
            del self._active[trace_id]
        pieces = self._whole([*self._open] if stopping else [*quiet])
        silent = list(takewhile(lambda item: now - item[1].last_at >= self._orphan_period, self._rootless.items()))
        pieces += [self._take(trace_id, orphaned=True) for trace_id, trace in silent if trace.spans]
        old = list(takewhile(lambda item: now - item[1].opened_at >= self._max_open, self._open.items()))
        return [*pieces, *(self._take(trace_id) for trace_id, _ in old)]

    def _whole(self, trace_ids: Sequence[bytes]) -> list[Piece]:
        """Take out the traces that wait for no root; let the others wait."""
        rootless = [trace_id for trace_id in trace_ids if not self._open[trace_id].has_local_root()]
        ended = self._ended(rootless) if rootless else ()
        waiting = {trace_id for trace_id in rootless if trace_id not in ended}
        self._rootless |= {trace_id: self._open[trace_id] for trace_id in rootless if trace_id in waiting}
        return [self._take(trace_id) for trace_id in trace_ids if trace_id not in waiting]

    def take_all(self) -> list[Piece]:
        """Take out all open traces, complete or not."""
        return [self._take(trace_id) for trace_id in [*self._open]]

    def evict(self) -> list[Piece]:
        """Take out the older half of the open traces, complete or not, to make room."""
        oldest = list(self._open)[: (len(self._open) + 1) // 2]
        return [self._take(trace_id) for trace_id in oldest]

    def _trace(self, trace_id: bytes, position: int, now: float) -> _OpenTrace:
        self._set_clock(now)
        trace = self._open.get(trace_id)
        if trace is None:
            trace = self._open[trace_id] = _OpenTrace(opened_at=now)
        trace.last_at = now
        self._active.pop(trace_id, None)
        self._rootless.pop(trace_id, None)
        self._active[trace_id] = trace
        trace.positions.add(position)
        return trace

    def _set_clock(self, now: float) -> None:
        """Set the time. If the clock was set back, no trace waits longer for that."""
        if self._now - now > self._quiet_period:
            for trace in self._open.values():
                trace.opened_at, trace.last_at = min(trace.opened_at, now), min(trace.last_at, now)
        self._now = now

    def _take(self, trace_id: bytes, *, orphaned: bool = False) -> Piece:
        trace = self._open.pop(trace_id)
        self._active.pop(trace_id, None)
        self._rootless.pop(trace_id, None)
        return Piece(
            trace_id=trace_id,
            spans=tuple(trace.spans.values()),
            logs=tuple(trace.logs),
            root_seen=orphaned or trace.has_local_root(),
            positions=frozenset(trace.positions),
            conflicts=trace.conflicts,
            excess=trace.excess,
            last_at=trace.last_at,
        )
