"""From the journal to MLflow and the judges' queue: read, assemble, convert, store, record and enqueue, delete.

The order is what keeps the promises: a trace is stored in MLflow, then recorded and enqueued in one transaction, then
its requests are deleted from the journal. A crash between two steps repeats a step that is idempotent.
"""

import logging
import time
from collections.abc import Callable, Sequence

from opentelemetry.trace import NoOpTracer, Tracer

from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.mlflow_store.unavailable import Unanswered, UnansweredCount
from qualitrace_collector.mlflow_store.writer_process import Writer, wait_until_written
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline import batch_spans
from qualitrace_collector.pipeline.assemble import Assembler
from qualitrace_collector.pipeline.batch import BATCH_BYTES, WAIT, Batch, BatchItem, BatchQueue
from qualitrace_collector.pipeline.convert_stage import ConvertStage
from qualitrace_collector.pipeline.journal_reader import JournalReader
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.settings import KEEP_SECONDS, PipelineConfig
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.process.in_work import InWork
from qualitrace_collector.process.memory import give_memory_back
from qualitrace_collector.state import Ledger, UnfinishedTrace

_log = logging.getLogger(__name__)

BATCHES_HELD = 2  # one that is being written, and one that is being converted
IDLE_SECONDS = 0.05
ORPHANS_SECONDS = 10.0
UPKEEP_SECONDS = 60.0
ROUNDS = 5  # of unfinished traces that are ended in one step


class Pipeline:
    """The collector's work, one step at a time; not thread-safe, meant for one `Loop`.

    Args:
        clock: Unix seconds.
        writer: writes batches that queue up while the next are converted.
        tracer: for the server's own spans.
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
        tracer: Tracer | None = None,
    ) -> None:
        assembly = config.assembly
        self._assembler = Assembler(
            assembly.quiet_period,
            assembly.orphan_period,
            assembly.max_open,
            assembly.max_trace_spans,
            assembly.max_trace_size,
            self._ended,
        )
        self._reader = JournalReader(journal, self._assembler, recorder, config.collector.redact, clock)
        self._queue = BatchQueue()
        self._convert = ConvertStage(
            store,
            ledger,
            recorder.early_logs,
            recorder.services,
            clock,
            assembly,
            keep_all=config.mlflow.keep == "all",
        )
        self._recorder = recorder
        self._assembly = assembly
        self._journal = journal
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._writer = writer
        self._tracer = tracer or NoOpTracer()
        self._unavailable = 0  # tries in a row
        self._unanswered = UnansweredCount()
        self._next_orphans = 0.0
        self._next_upkeep = 0.0
        self._was_large = False  # the last batch

    def step(self) -> float:
        """Do what can be done now; return the seconds to wait before the next step."""
        self.in_work.resume()
        read, upkeep = 0, self._clock() >= self._next_upkeep and not self._reader.retrying
        self._queue.retry(self._clock())
        # While enough is due nothing more is read: what MLflow cannot take stays in the journal, not in memory.
        if self._queue.wants_more:
            read = 0 if self._full else self._reader.read()
            self._queue.add(self._due(), self._reader.poison, self._reader.is_bulk)
        if not self._queue and self._full:
            self._queue.add(self._assembler.evict(), is_bulk=self._reader.is_bulk)
        try:
            stored = self._run_batch(ahead=not upkeep)  # upkeep needs all to be recorded
            if self._was_large:
                self._was_large = False
                give_memory_back()
            if not self._reader.retrying:
                self._end_orphans()
            if upkeep:
                self._upkeep()
        except StoreUnavailable as error:
            return self._back_off(error)
        self._unavailable = 0
        return 0.0 if read or stored else IDLE_SECONDS

    def _due(self) -> list[Piece]:
        # What is tried again waits for nothing that comes later: it is to be alone in memory.
        return self._assembler.take_all() if self._reader.retrying else self._assembler.due(self._reader.time)

    def _run_batch(self, *, ahead: bool = True) -> bool:
        """Take the first batch all the way, with the next one close behind; return whether there was one."""
        batches = self._queue.first(BATCHES_HELD)
        if batches:
            batch, *others = batches
            # Only one of two batches is held in MLflow's form if both are as large as one trace may be.
            behind = others[0] if ahead and others and max(batch.size, others[0].size) <= BATCH_BYTES else None
            self._begin(batch, in_background=behind is not None)
            if behind is not None and batch.writing:
                self._begin_early(behind)
            with batch_spans.stage(self._tracer, batch, "store"):
                self._save(batch)
            with batch_spans.stage(self._tracer, batch, "record"):
                self._recorder.record(batch, self._clock())
            batch_spans.end(batch)
            self._store.unrecorded.difference_update(item.trace_id for item in batch.items)
            for piece in self._queue.finish_first(self._clock()):
                self._reader.finish(piece)
            self._was_large = batch.size > BATCH_BYTES
        self._reader.delete_done()
        return bool(batches)

    def _begin(self, batch: Batch, *, in_background: bool) -> None:
        """Convert a batch, unless it was begun early; let the writer write its new traces in the background."""
        if batch.converted:
            return
        self._store.unrecorded.update(item.trace_id for item in batch.items)
        batch_spans.begin(self._tracer, batch)
        with batch_spans.stage(self._tracer, batch, "convert"):
            self._convert(batch)
        if in_background and self._writer:
            batch.writing = self._writer.write([trace for trace in batch.traces if trace.stored])

    def _begin_early(self, batch: Batch) -> None:
        """Begin the next batch while this one is being written."""
        try:
            self._begin(batch, in_background=True)
        except StoreUnavailable:  # must not hold up this batch; the next one meets it when it is its turn
            batch.start_over()

    def _save(self, batch: Batch) -> None:
        """Store what the writer has not stored; give refused traces their error.

        Raises:
            StoreUnavailable: nothing can be stored now; the same again is harmless.
        """
        traces = batch.traces
        known = wait_until_written(batch.writing) if batch.writing else None
        if known is not None:
            # The writer leaves traces that exist alone. Traces without new spans have only what MLflow's list shows.
            traces = [trace for trace in traces if trace.trace_id in known or not trace.stored]
        refused = self._store.save(traces)
        if any(trace.stored and trace.trace_id not in refused for trace in batch.traces):
            self._store.wrote_at = time.monotonic()
        self._unanswered.passed({trace.trace_id for trace in traces} - refused.keys())
        for item in batch.items:
            if item.trace_id in refused:
                self._refuse(item, refused[item.trace_id])

    def _refuse(self, item: BatchItem, error: Exception) -> None:
        """Let a trace that was not stored be tried again or given up; the others go on."""
        if not isinstance(error, StoreUnavailable):
            item.refuse(error)
        elif not isinstance(error, Unanswered) or not self._unanswered.failed(item.trace_id):
            item.put_off(error)
            _log.warning("trace %s waits, the others go on: %s", item.trace_id, error)
        elif item.trace is None or not self._store.has(item.trace):
            item.give_up(error)
        else:
            _log.warning("MLflow's list does not show the state and previews of trace %s: %s", item.trace_id, error)

    def drain(self, deadline: float) -> None:
        """Store every complete trace, until `deadline` (Unix seconds); the rest stays in the journal."""
        while self._clock() < deadline and self.step() == 0.0:
            pass
        if self._unavailable:
            return
        due = self._assembler.due(self._reader.time, stopping=True)
        self._queue.add(piece for piece in due if piece.root_seen)
        try:
            while self._clock() < deadline and self._run_batch():
                pass
        except StoreUnavailable as error:
            _log.warning("stopping while %s (%s); the rest stays in the journal", error.problem, error)

    @property
    def in_work(self) -> InWork:
        """What is in work."""
        return self._reader.in_work

    def close(self) -> None:
        """End the writer; safe twice."""
        if self._writer:
            self._writer.close()

    def store_problem(self) -> str:
        """Say that MLflow does not take traces now; empty if it does."""
        return "it does not take traces: see the log" if self._unavailable else ""

    @property
    def _full(self) -> bool:
        return self._reader.held_spans >= self._assembly.max_spans or self._reader.held_bytes >= self._assembly.max_size

    def _ended(self, trace_ids: Sequence[bytes]) -> set[bytes]:
        """Return those of the traces that were complete before."""
        records = self._ledger.known_traces(f"tr-{trace_id.hex()}" for trace_id in trace_ids)
        return {_otlp_trace_id(record.trace_id) for record in records.values() if record.root_seen}

    def _back_off(self, error: StoreUnavailable) -> float:
        self._queue.start_over()
        self._unanswered.start_over()
        self.in_work.pause()
        self._unavailable += 1
        wait = seconds_after(self._unavailable, WAIT)
        _log.warning("%s (%s); trying again in %g s", error.problem, error, wait)
        return wait

    def _end_orphans(self) -> None:
        """Every few seconds, end the traces whose root never came and whose last span came long ago."""
        now = self._clock()
        if now < self._next_orphans:
            return
        for _ in range(ROUNDS):
            # By the journal's time, as in assembling: a backlog may hold more of their spans.
            silent = self._ledger.silent(self._reader.time - self._assembly.orphan_period)
            pending = self._queue.trace_ids() if silent else set[bytes]()
            orphans = [trace for trace in silent if not self._waits(trace, pending)]
            if not orphans:
                self._next_orphans = now + ORPHANS_SECONDS
                return
            self._end(orphans)

    def _waits(self, trace: UnfinishedTrace, pending: set[bytes]) -> bool:
        key = _otlp_trace_id(trace.trace_id)
        return key in pending or self._assembler.holds(key)

    def _end(self, traces: Sequence[UnfinishedTrace]) -> None:
        """Show, judge and measure stored traces as if they were whole."""
        spans = self._store.read_all([trace.trace_id for trace in traces])
        self._store.show([spans[trace.trace_id] for trace in traces if spans.get(trace.trace_id)], late=True)
        whole = [
            StoredTrace(
                trace_id=trace.trace_id,
                service=trace.service,
                tracestate=trace.tracestate,
                spans=spans.get(trace.trace_id, ()),
                read=spans.get(trace.trace_id, ()),
            )
            for trace in traces
        ]
        self._recorder.finish(whole, self._clock())

    def _upkeep(self) -> None:
        """Each minute, end traces whose spans have been coming for too long, and forget what is old."""
        now = self._clock()
        if self._writer:
            self._writer.stop_if_idle()
        for _ in range(ROUNDS):
            if not (old := self._ledger.unfinished(now - self._assembly.max_age)):
                break
            self._end(old)
        self._recorder.prune(now)
        self._store.experiments.forget()  # somebody may have deleted or restored one
        self._journal.forget_owners(now - KEEP_SECONDS)
        self._next_upkeep = now + UPKEEP_SECONDS


def _otlp_trace_id(trace_id: str) -> bytes:
    return bytes.fromhex(trace_id.removeprefix("tr-"))
