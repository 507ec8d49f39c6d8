"""One batch of due pieces: convert each, store what is to be kept, tell what became of them."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from mlflow.entities import Span

from qualitrace_collector.assemble import Piece
from qualitrace_collector.convert import ConvertedTrace, convert_all
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.coverage import coverage_of
from qualitrace_collector.first_come import log_conflicts, without_stored
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.record import CompleteTrace, Results
from qualitrace_collector.state import Ledger
from qualitrace_collector.store import TraceStore

Failure = tuple[Piece, str, Exception]
"""A piece that could not be converted or stored, its service, and why."""

Known = Mapping[str, sqlite3.Row]


class StoreStage:
    """Converts and stores; holds no state of its own but the set of services seen.

    Args:
        keep_all: store traces without any GenAI span, too.
        max_services: further ones are called `other`.
    """

    def __init__(self, store: TraceStore, ledger: Ledger, *, keep_all: bool, max_services: int) -> None:
        self._store = store
        self._ledger = ledger
        self._keep_all = keep_all
        self._services = BoundedNames(max_services)

    def run(self, pieces: Sequence[Piece]) -> tuple[Results, list[Failure]]:
        """Store the pieces, at most one of each trace; log records of spans that nobody stored come to nothing.

        Raises:
            StoreUnavailable: nothing can be stored now; running again is harmless.
        """
        known = self._ledger.known_traces([mlflow_trace_id(piece) for piece in pieces])
        earlier = {id_: self._store.read(id_) for id_, row in known.items() if row["outcome"] != "not_genai"}
        converted, failures = self._convert_all(pieces, known, earlier)
        kept = [trace for trace in converted if self._is_kept(trace, known)]
        wanted, conflicting = _first_come(kept, earlier)
        refused = self._store.save([trace for trace in wanted if trace.stored])
        failures += [(t.piece, t.service, refused[t.trace_id]) for t in wanted if t.trace_id in refused]
        stored = [trace for trace in wanted if trace.trace_id not in refused]
        complete = [
            _complete(trace, known, earlier.get(trace.trace_id, ())) for trace in stored if _is_whole(trace, known)
        ]
        converted_by_id = {trace.trace_id: trace for trace in stored}
        results = Results(
            stored=stored,
            not_genai=[trace for trace in converted if not self._is_kept(trace, known)],
            complete=complete,
            conflicting=conflicting,
            coverage=[
                coverage_of(converted_by_id[trace.trace_id], trace.spans) for trace in complete if not trace.known
            ],
        )
        return results, failures

    def _convert_all(
        self, pieces: Sequence[Piece], known: Known, earlier: Mapping[str, Sequence[Span]]
    ) -> tuple[list[ConvertedTrace], list[Failure]]:
        with_service: list[tuple[Piece, str]] = []
        stored: dict[bytes, Sequence[Span]] = {}
        for piece in pieces:
            trace_id = mlflow_trace_id(piece)
            stored[piece.trace_id] = earlier.get(trace_id, ())
            if piece.spans or stored[piece.trace_id]:
                row = known.get(trace_id)
                service = str(row["service"]) if row is not None else self._services.bound(service_of(piece))
                with_service.append((piece, service))
        return convert_all(with_service, stored)

    def _is_kept(self, trace: ConvertedTrace, known: Known) -> bool:
        row = known.get(trace.trace_id)
        return trace.is_genai or self._keep_all or (row is not None and row["outcome"] == "stored")


def _first_come(
    traces: Sequence[ConvertedTrace], earlier: Mapping[str, Sequence[Span]]
) -> tuple[list[ConvertedTrace], Counter[str]]:
    """Leave out spans that would overwrite stored ones; count those that differ, by service."""
    kept: list[ConvertedTrace] = []
    conflicting: Counter[str] = Counter()
    for trace in traces:
        rest, conflicts = without_stored(trace, earlier.get(trace.trace_id, ()))
        kept.append(rest)
        if conflicts := conflicts + trace.piece.conflicts:
            log_conflicts(trace.trace_id, conflicts)
            conflicting[trace.service] += conflicts
    return kept, conflicting


def _complete(trace: ConvertedTrace, known: Known, earlier: Sequence[Span]) -> CompleteTrace:
    return CompleteTrace(
        trace_id=trace.trace_id,
        service=trace.service,
        tracestate=trace.tracestate,
        spans=(*(span for span in earlier if span.span_id not in trace.renewed), *trace.stored),
        known=_was_judged(trace, known),
    )


def _is_whole(trace: ConvertedTrace, known: Known) -> bool:
    row = known.get(trace.trace_id)
    return trace.piece.root_seen or (row is not None and bool(row["root_seen"]))


def _was_judged(trace: ConvertedTrace, known: Known) -> bool:
    """Whether it went to the judges before; what was seen of it without any GenAI span did not."""
    row = known.get(trace.trace_id)
    return row is not None and row["outcome"] != "not_genai" and bool(row["root_seen"])
