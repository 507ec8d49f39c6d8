"""From the journal to MLflow and the judges' queue: read, assemble, convert, store, record, settle.

The order is what keeps the promises: a trace is stored in MLflow, then recorded and enqueued in one transaction,
then its requests are settled in the journal. A crash between two steps repeats a step that is idempotent.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError

from qualitrace_collector.convert.trace import UNKNOWN_SERVICE, mlflow_trace_id
from qualitrace_collector.dead_letters.replay import requests_of
from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore, reason
from qualitrace_collector.mlflow_store.writer_process import Writer
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.piece import SpanRecord
from qualitrace_collector.pipeline.assemble import Assembler
from qualitrace_collector.pipeline.batches import Pending
from qualitrace_collector.pipeline.recorder import KEEP_SECONDS, CompleteTrace, Recorder, Results
from qualitrace_collector.pipeline.redaction import Redaction
from qualitrace_collector.pipeline.settings import PipelineConfig
from qualitrace_collector.pipeline.settlement import Settlement
from qualitrace_collector.pipeline.store_stage import Failure, StoreStage
from qualitrace_collector.state import DeadLetter, Ledger, UnfinishedTrace

_log = logging.getLogger(__name__)

READ_REQUESTS = 1024
READ_BYTES = 4 << 20
BATCHES_HELD = 2  # one that is being written, and one that is being converted
IDLE_SECONDS = 0.05
SHORTEST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 30.0
ORPHANS_SECONDS = 10.0
UPKEEP_SECONDS = 60.0
ROUNDS = 5  # of unfinished traces that are ended in one step


class Pipeline:
    """The collector's work, one step at a time; not thread-safe, meant for one `Loop`.

    Args:
        clock: Unix seconds.
        writer: writes batches that queue up while the next are converted.
    """

    def __init__(
        self,
        config: PipelineConfig,
        journal: SqliteJournal,
        store: TraceStore,
        ledger: Ledger,
        recorder: Recorder,
        clock: Callable[[], float] = time.time,
        writer: Writer | None = None,
    ) -> None:
        assembly = config.assembly
        self._assembler = Assembler(
            assembly.quiet_period, assembly.orphan_period, assembly.max_open, assembly.max_spans, self._ended
        )
        self._redaction = Redaction(config.collector.redact)
        self._max_size = assembly.max_size
        self._orphan_period = assembly.orphan_period
        self._max_age = assembly.max_age
        self._journal = journal
        self._settlement = Settlement(journal)
        self._stage = StoreStage(
            store,
            ledger,
            recorder.early_logs,
            writer,
            keep_all=config.mlflow.keep == "all",
            max_services=config.mlflow.max_experiments,
        )
        self._store = store
        self._ledger = ledger
        self._recorder = recorder
        self._clock = clock
        self._position = 0
        self._journal_time = 0.0
        self._writer = writer
        self._pending = Pending()
        self._unavailable = 0
        self._next_orphans = 0.0
        self._next_upkeep = 0.0

    def step(self) -> float:
        """Do what can be done now; return the seconds to wait before the next step.

        While enough is due nothing more is read: what MLflow cannot take stays in the journal, not in memory.
        """
        read = 0
        self._pending.retry(self._clock())
        if len(self._pending.batches(BATCHES_HELD)) < BATCHES_HELD:
            read = 0 if self._full else self._read()
            self._pending.add(self._assembler.due(self._journal_time))
        if not self._pending and self._full:
            self._pending.add(self._assembler.evict())
        try:
            stored = self._store_batch()
            self._end_orphans()
            self._upkeep()
        except StoreUnavailable as error:
            return self._back_off(error)
        self._unavailable = 0
        return 0.0 if read or stored else IDLE_SECONDS

    def drain(self, deadline: float) -> None:
        """Store every complete trace, until `deadline` (Unix seconds); the rest stays in the journal."""
        while self._clock() < deadline and self.step() == 0.0:
            pass
        if self._unavailable:
            return
        due = self._assembler.due(self._journal_time, stopping=True)
        self._pending.add(piece for piece in due if piece.root_seen)
        try:
            while self._clock() < deadline and self._store_batch():
                pass
        except StoreUnavailable as error:
            _log.warning("stopping while MLflow is not available (%s); the rest stays in the journal", error)

    def close(self) -> None:
        """End the writer; safe twice."""
        if self._writer:
            self._writer.close()

    @property
    def _full(self) -> bool:
        return self._assembler.full or self._settlement.held_bytes >= self._max_size

    def _ended(self, trace_ids: Sequence[bytes]) -> set[bytes]:
        """Return those of the traces that were complete before."""
        rows = self._ledger.known_traces([f"tr-{trace_id.hex()}" for trace_id in trace_ids])
        return {_otlp_trace_id(trace_id) for trace_id, row in rows.items() if row.root_seen}

    def _back_off(self, error: StoreUnavailable) -> float:
        wait = min(LONGEST_BACKOFF_SECONDS, SHORTEST_BACKOFF_SECONDS * 2.0 ** min(self._unavailable, 10))
        self._unavailable += 1
        _log.warning("MLflow is not available (%s); trying again in %g s", error, wait)
        return wait

    def _read(self) -> int:
        """Hand the next journal entries to the assembler; return how many.

        Time goes by the entries' arrival until all are read: a backlog is assembled as it came, however late.
        """
        entries = self._journal.read(self._position, READ_REQUESTS, READ_BYTES)
        for entry in entries:
            try:
                trace_ids = self._add(entry)
            except (DecodeError, ValidationError) as error:
                self._record_undecodable(entry, error)
                trace_ids = set[bytes]()
            self._settlement.opened(entry, trace_ids)
            self._position = entry.position
        self._recorder.count_redactions(self._redaction.take_counts())
        self._journal_time = entries[-1].received_at if entries else self._clock()
        return len(entries)

    def _add(self, entry: JournalEntry) -> set[bytes]:
        """Hand an entry's spans or log records to the assembler; return their trace ids. Feedback goes its own way."""
        if entry.signal == "feedback":
            given = self._redaction.feedback(PersonFeedback.model_validate_json(entry.payload))
            self._recorder.keep_feedback(given, entry.received_at)
            return set()
        if entry.signal == "logs":
            logs = ExportLogsServiceRequest.FromString(entry.payload)
            self._redaction.logs(logs)
            records = [r for group in logs.resource_logs for scope in group.scope_logs for r in scope.log_records]
            self._assembler.add_logs(entry.position, records, entry.received_at)
            return {record.trace_id for record in records}
        request = ExportTraceServiceRequest.FromString(entry.payload)
        self._redaction.traces(request)
        spans = [
            SpanRecord(span, group.resource, scope.scope, entry.tenant)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        self._assembler.add_spans(entry.position, spans, entry.received_at)
        return {record.span.trace_id for record in spans}

    def _record_undecodable(self, entry: JournalEntry, error: Exception) -> None:
        now = self._clock()
        kept_as = "logs" if entry.signal == "feedback" else entry.signal  # to be looked at: it cannot be replayed
        letter = DeadLetter(
            trace_id=f"request-{entry.position}",
            service=UNKNOWN_SERVICE,
            error=f"cannot be decoded: {error}",
            recorded_at=now,
            tenant=entry.tenant,
            **{kept_as: entry.payload},
        )
        self._recorder.record(Results(dead_lettered=[letter]), now)

    def _store_batch(self) -> bool:
        """Store, record and settle the next batch; whether there was one."""
        batch, *others = self._pending.batches(BATCHES_HELD) or [[]]
        if batch:
            then = (
                others[0] if others and self._clock() < self._next_upkeep else None
            )  # upkeep needs all to be recorded
            results, failures = self._stage.run(batch, then)
            given_up = [failure for failure in failures if self._pending.is_last_try(failure[0])]
            refused = [failure[0] for failure in failures if not self._pending.is_last_try(failure[0])]
            now = self._clock()
            letters = [_letter(failure, now) for failure in given_up]
            self._recorder.record(replace(results, dead_lettered=letters), now)
            self._store.unrecorded.difference_update(map(mlflow_trace_id, batch))
            for piece in self._pending.finish(batch, refused, now):
                self._settlement.done(piece)
        self._settlement.flush()
        return bool(batch)

    def _end_orphans(self) -> None:
        """Every few seconds, end the traces whose root never came and whose last span is long ago, if none waits here.

        Time goes by the journal, as in assembling: a backlog may hold more of their spans.
        """
        now = self._clock()
        if now < self._next_orphans:
            return
        for _ in range(ROUNDS):
            silent = self._ledger.silent(self._journal_time - self._orphan_period)
            pending = self._pending.trace_ids() if silent else set[bytes]()
            orphans = [trace for trace in silent if not self._waits(trace, pending)]
            if not orphans:
                self._next_orphans = now + ORPHANS_SECONDS
                return
            self._end(orphans)

    def _waits(self, trace: UnfinishedTrace, pending: set[bytes]) -> bool:
        key = _otlp_trace_id(trace.trace_id)
        return key in pending or self._assembler.holds(key)

    def _end(self, traces: Sequence[UnfinishedTrace]) -> None:
        """Take stored traces for whole: show, judge and measure what there is of them."""
        spans = self._store.read_all([trace.trace_id for trace in traces])
        self._store.show([spans[trace.trace_id] for trace in traces if spans.get(trace.trace_id)], late=True)
        whole = [
            CompleteTrace(
                trace_id=trace.trace_id,
                service=trace.service,
                tracestate=trace.tracestate,
                spans=spans.get(trace.trace_id, ()),
                known=False,
            )
            for trace in traces
        ]
        self._recorder.finish(whole, self._clock())

    def _upkeep(self) -> None:
        """Each minute, end traces whose spans go on coming for too long, and forget old rows and what MLflow said."""
        now = self._clock()
        if now < self._next_upkeep:
            return
        if self._writer:
            self._writer.rest()
        for _ in range(ROUNDS):
            if not (old := self._ledger.unfinished(now - self._max_age)):
                break
            self._end(old)
        self._recorder.prune(now)
        self._store.experiments.forget()
        self._journal.forget_owners(now - KEEP_SECONDS)
        self._next_upkeep = now + UPKEEP_SECONDS


def _otlp_trace_id(trace_id: str) -> bytes:
    return bytes.fromhex(trace_id.removeprefix("tr-"))


def _letter(failure: Failure, now: float) -> DeadLetter:
    piece, service, error = failure
    trace_id = mlflow_trace_id(piece)
    why = reason(error)
    _log.error("trace %s goes to the dead letters: %s", trace_id, why)
    traces, logs = requests_of(piece)
    return DeadLetter(
        trace_id=trace_id,
        service=service,
        error=why,
        traces=traces.SerializeToString(),
        logs=logs.SerializeToString(),
        recorded_at=now,
        tenant=piece.spans[0].tenant if piece.spans else "",
    )
