"""Batches of due pieces: prepare each, store what is to be kept, tell what became of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow.entities import Span
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.mlflow_store.writer_process import Writer, Writing, written
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline.prepare import Failure, Plan, Prepared, prepare
from qualitrace_collector.pipeline.recorder import Results
from qualitrace_collector.state import EarlyLogs, Ledger, TraceRecord

Batch = Sequence[Piece]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch that is being written, or about to be.

    Attributes:
        early_logs: log records without a span, by the trace id of each piece with log records.
    """

    batch: Batch
    prepared: Prepared
    early_logs: Mapping[str, Sequence[LogRecord]]
    writing: Writing | None


class StoreStage:
    """Prepares and stores, one batch at a time or, with a `writer`, one while the batch before it is being written.

    Args:
        keep_all: store traces without any GenAI span, too.
        max_services: further ones are called `other`; those that the ledger knows count.
    """

    def __init__(
        self,
        store: TraceStore,
        ledger: Ledger,
        early_logs: EarlyLogs,
        writer: Writer | None,
        *,
        keep_all: bool,
        max_services: int,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._early_logs = early_logs
        self._writer = writer
        self._keep_all = keep_all
        self._services = BoundedNames(max_services, ledger.services())
        self._begun: _Begun | None = None

    def run(self, batch: Batch, then: Batch | None = None) -> tuple[Results, list[Failure]]:
        """Store a batch of pieces, with the log records that waited for their spans.

        Args:
            then: the batch that will be run next. No trace has two pieces in both.

        Raises:
            StoreUnavailable: nothing can be stored now; running again is harmless.
        """
        begun, self._begun = self._begun, None
        if begun is None or begun.batch is not batch:
            begun = self._begin(batch, in_background=then is not None)
        if then is not None and begun.writing:
            self._begun = self._begin_early(then)
        return _outcome(begun, self._finish(begun))

    def _begin_early(self, batch: Batch) -> _Begun | None:
        """Begin the next batch, if that can be done now: what stands in its way is told when it is its turn."""
        try:
            return self._begin(batch, in_background=True)
        except StoreUnavailable:
            return None

    def _begin(self, batch: Batch, *, in_background: bool) -> _Begun:
        self._store.unrecorded.update(map(mlflow_trace_id, batch))
        pieces = self._with_early_logs(batch)
        plan = self._plan(pieces)
        prepared = prepare(plan)
        writing = self._writer.write(_to_store(prepared)) if self._writer and in_background else None
        return _Begun(batch, prepared, _still_early(pieces, plan.earlier), writing)

    def _finish(self, begun: _Begun) -> dict[str, Exception]:
        """Wait until a batch is stored; return the errors of refused traces by their ids."""
        traces = begun.prepared.wanted
        known = written(begun.writing) if begun.writing else None
        if known is not None:
            traces = [trace for trace in traces if trace.trace_id in known or not trace.stored]
        return self._store.save(traces)

    def _with_early_logs(self, batch: Batch) -> list[Piece]:
        early = self._early_logs.of(map(mlflow_trace_id, batch))
        return [
            replace(piece, logs=_each_once((*early[trace_id], *piece.logs))) if trace_id in early else piece
            for piece in batch
            for trace_id in [mlflow_trace_id(piece)]
        ]

    def _plan(self, batch: Sequence[Piece]) -> Plan:
        known = self._ledger.known_traces([mlflow_trace_id(piece) for piece in batch])
        earlier = {id_: self._store.read(id_) for id_, trace in known.items() if trace.outcome != "not_genai"}
        pieces = [piece for piece in batch if piece.spans or earlier.get(mlflow_trace_id(piece))]
        return Plan(
            pieces=[(piece, self._service(piece, known)) for piece in pieces],
            known=known,
            earlier=earlier,
            keep_all=self._keep_all,
        )

    def _service(self, piece: Piece, known: dict[str, TraceRecord]) -> str:
        before = known.get(mlflow_trace_id(piece))
        return before.service if before else self._services.bound(service_of(piece))


def _to_store(prepared: Prepared) -> list[ConvertedTrace]:
    return [trace for trace in prepared.wanted if trace.stored]


def _each_once(records: Iterable[LogRecord]) -> tuple[LogRecord, ...]:
    return tuple({record.SerializeToString(deterministic=True): record for record in records}.values())


def _still_early(pieces: Iterable[Piece], earlier: Mapping[str, Sequence[Span]]) -> dict[str, list[LogRecord]]:
    """Return the log records whose span neither comes with them nor is stored."""
    early: dict[str, list[LogRecord]] = {}
    for piece in pieces:
        if piece.logs:
            trace_id = mlflow_trace_id(piece)
            there = {record.span.span_id for record in piece.spans}
            there.update(bytes.fromhex(span.span_id) for span in earlier.get(trace_id, ()))
            early[trace_id] = [record for record in piece.logs if record.span_id not in there]
    return early


def _outcome(begun: _Begun, refused: dict[str, Exception]) -> tuple[Results, list[Failure]]:
    prepared = begun.prepared
    failures = [
        *prepared.failures,
        *((t.piece, t.service, refused[t.trace_id]) for t in prepared.wanted if t.trace_id in refused),
    ]
    failed = {mlflow_trace_id(piece) for piece, *_ in failures}
    results = Results(
        stored=[trace for trace in prepared.wanted if trace.trace_id not in refused],
        not_genai=prepared.not_genai,
        complete=[trace for trace in prepared.complete if trace.trace_id not in refused],
        conflicting=prepared.conflicting,
        coverage=prepared.coverage,
        early_logs={trace_id: logs for trace_id, logs in begun.early_logs.items() if trace_id not in failed},
    )
    return results, failures
