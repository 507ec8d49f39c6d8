"""Looks up what is known of a batch's traces, converts their pieces, and leaves out spans that are stored.

A stored span is never overwritten by another: MLflow would let a later one with the same ids take its place. OTLP sends
a span once, when it has ended, so a second one is a resend (the same again), a mistake or an attack (different).
Neither is stored again; only the different ones are counted.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mlflow.entities import Span
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.convert import ConvertedTrace, convert_all
from qualitrace_collector.convert.mlflow_span import stored_size
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.mlflow_store.store import TraceStore, reason
from qualitrace_collector.mlflow_store.unavailable import ResourceShortage, is_shortage
from qualitrace_collector.names import OTHER, clean
from qualitrace_collector.piece import Piece, SpanRecord, size_with_events
from qualitrace_collector.pipeline.batch import Batch, BatchItem
from qualitrace_collector.pipeline.coverage import coverage_of
from qualitrace_collector.pipeline.runs import RecentCalls
from qualitrace_collector.pipeline.settings import Assembly
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.pipeline.untraced import untraced_libraries
from qualitrace_collector.state import EarlyLogs, Ledger
from qualitrace_collector.state.services import ServiceNames

_log = logging.getLogger(__name__)

_LIMITS = "assembly.max_trace_spans or assembly.max_trace_size"

_ADDED_PREFIXES = ("mlflow.", "qualitrace.")
_ADDED_TO_ROOTS = frozenset({"session.id", "user.id"})


class PoisonError(Exception):
    """The process dies of a trace."""


class ConvertStage:
    """Converts batches.

    Args:
        assembly: how much a trace may have, with what is stored of it.
        keep_all: store traces without any GenAI span, too.
        services: bounds their names.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: TraceStore,
        ledger: Ledger,
        early_logs: EarlyLogs,
        services: ServiceNames,
        clock: Callable[[], float],
        assembly: Assembly,
        *,
        keep_all: bool,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._early_logs = early_logs
        self._keep_all = keep_all
        self._services = services
        self._clock = clock
        self._assembly = assembly
        self._recent = RecentCalls()

    def __call__(self, batch: Batch) -> None:
        """Give each item its trace, or the error that kept it from being converted.

        Raises:
            StoreUnavailable: earlier spans cannot be read from MLflow now.
            ResourceShortage: memory or the like is short.
        """
        for item in batch.items:
            if item.poison:
                self._name(item)
                item.give_up(PoisonError(item.poison))
        healthy = [item for item in batch.items if not item.poison]
        self._look_up(healthy)
        # A trace of which nothing but log records came so far is not made yet: its records wait for their spans.
        items = {item.trace_id: item for item in healthy if item.piece.spans or item.earlier}
        for item in items.values():
            self._name(item)
        converted, failures = convert_all(
            [(item.piece, item.service) for item in items.values()],
            {trace_id: item.earlier for trace_id, item in items.items()},
        )
        for piece, _, error in failures:
            if is_shortage(error):
                raise ResourceShortage(f"a trace cannot be converted now: {reason(error)}") from error
            items[mlflow_trace_id(piece)].refuse(error)
        for trace in converted:
            self._fill_in(items[trace.trace_id], trace)
        batch.converted = True

    def _name(self, item: BatchItem) -> None:
        """Find the service that a trace is stored and counted under: that of its beginning, else as it says now."""
        name = item.known.service if item.known else service_of(item.piece)
        bounded = self._services.bound(name, item.piece.tenant, self._clock())
        item.service = item.known.service if item.known else bounded
        item.is_renamed = not item.known and bounded == OTHER and clean(name) != OTHER

    def _look_up(self, items: Sequence[BatchItem]) -> None:
        trace_ids = [item.trace_id for item in items]
        known, early = self._ledger.known_traces(trace_ids), self._early_logs.of(trace_ids)
        stored = [trace_id for trace_id, record in known.items() if record.outcome != "not_genai"]
        earlier = self._store.read_all(stored)
        for trace_id, item in zip(trace_ids, items, strict=True):
            item.known, item.earlier = known.get(trace_id), earlier.get(trace_id, ())
            if item.earlier:
                item.piece = _within(item.piece, item.earlier, self._assembly)
            if item.piece.excess:
                _log.warning("trace %s: %d spans left out: it has more than %s", trace_id, item.piece.excess, _LIMITS)
            if trace_id in early:
                item.piece = replace(item.piece, logs=_each_once((*early[trace_id], *item.piece.logs)))
            if item.piece.logs:
                there = {record.span.span_id for record in item.piece.spans}
                there.update(bytes.fromhex(span.span_id) for span in item.earlier)
                item.early_logs = [record for record in item.piece.logs if record.span_id not in there]

    def _fill_in(self, item: BatchItem, trace: ConvertedTrace) -> None:
        item.whole = item.piece.root_seen or (item.known is not None and item.known.root_seen)
        if not (trace.is_genai or self._keep_all or (item.known and item.known.outcome == "stored")):
            item.outcome = "not_genai"
            return
        trace, conflicts = _without_stored(trace, item.earlier)
        item.conflicts = conflicts + item.piece.conflicts
        if item.conflicts:
            _log.warning(
                "trace %s: %d spans left out, because different ones with their ids came first; "
                "the client uses span ids twice, or resends spans that it has changed",
                trace.trace_id,
                item.conflicts,
            )
        spans = (*(span for span in item.earlier if span.span_id not in trace.renewed), *trace.stored)
        item.trace = replace(trace, whole=spans if item.whole else (), late=item.known is not None)
        # What was seen of the trace without any GenAI span did not go to the judges.
        known = item.known is not None and item.known.outcome != "not_genai" and item.known.root_seen
        item.stored = StoredTrace(
            trace_id=item.trace_id,
            service=item.service,
            tenant=item.piece.tenant,
            spans=spans,
            tracestate=trace.tracestate,
            known=known,
            came=item.piece.spans,
            read=item.earlier,
        )
        item.coverage = coverage_of(item.stored, item.piece, self._recent)
        item.untraced = untraced_libraries(item.stored)
        item.outcome = "stored"  # unless MLflow refuses it


def _within(piece: Piece, earlier: Sequence[Span], limits: Assembly) -> Piece:
    """Leave out the spans with which the trace would have more than it may."""
    stored = {span.span_id for span in earlier}
    room = limits.max_trace_spans - len(stored)
    size_left = limits.max_trace_size - sum(map(stored_size, earlier))
    kept: list[SpanRecord] = []
    for record in piece.spans:
        if record.span.span_id.hex() not in stored:  # else it was sent again
            size = size_with_events(record.span)
            if room <= 0 or size > size_left:
                continue
            room, size_left = room - 1, size_left - size
        kept.append(record)
    return replace(piece, spans=tuple(kept), excess=piece.excess + len(piece.spans) - len(kept))


def _each_once(records: Iterable[LogRecord]) -> tuple[LogRecord, ...]:
    """Leave out log records that were sent again, or are read again after a crash."""
    return tuple({record.SerializeToString(deterministic=True): record for record in records}.values())


def _without_stored(trace: ConvertedTrace, earlier: Sequence[Span]) -> tuple[ConvertedTrace, int]:
    """Take out the spans of a trace whose ids are stored already.

    Returns:
        The rest of the trace, and how many of the spans taken out differ from the stored ones.
    """
    if not earlier:
        return trace, 0
    stored = {span.span_id: span for span in earlier if span.span_id not in trace.renewed}
    sent = {record.span.span_id.hex(): {item.key for item in record.span.attributes} for record in trace.piece.spans}
    again = [span for span in trace.spans if span.span_id in stored]
    return trace.without(stored), sum(_differ(span, stored[span.span_id], sent[span.span_id]) for span in again)


def _differ(new: Span, old: Span, sent: set[str]) -> bool:
    """Compare what the client sent; what conversion adds depends on the spans that came in the same batch."""
    kept = {key for key in old.attributes if not key.startswith(_ADDED_PREFIXES) and key not in _ADDED_TO_ROOTS}
    return _frame(new) != _frame(old) or any(new.attributes.get(key) != old.attributes.get(key) for key in sent | kept)


def _frame(span: Span) -> tuple[object, ...]:
    return span.name, span.parent_id, span.start_time_ns, span.end_time_ns
