"""From the journal to MLflow and the judges' queue: read, assemble, convert, store, record, settle.

The order is what keeps the promises: a trace is stored in MLflow, then recorded and enqueued in one transaction,
then its requests are settled in the journal. A crash between two steps repeats a step that is idempotent.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.assemble import Assembler, Piece, SpanRecord
from qualitrace_collector.config import Config
from qualitrace_collector.convert.trace import UNKNOWN_SERVICE, mlflow_trace_id, otlp_request
from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.record import KEEP_SECONDS, CompleteTrace, DeadLetter, Recorder, Results
from qualitrace_collector.settle import Settlement
from qualitrace_collector.state import Ledger
from qualitrace_collector.store import StoreUnavailable, TraceStore
from qualitrace_collector.storing import StoreStage

_log = logging.getLogger(__name__)

READ_REQUESTS = 256
READ_BYTES = 16 << 20
IDLE_SECONDS = 0.05
RETRY_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
MAX_ATTEMPTS = 3
UPKEEP_SECONDS = 60.0


class Pipeline:
    """The collector's work, one step at a time; not thread-safe, meant for one `Loop`.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self,
        config: Config,
        journal: SqliteJournal,
        store: TraceStore,
        ledger: Ledger,
        recorder: Recorder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        assembly = config.assembly
        self._assembler = Assembler(assembly.quiet_period, assembly.max_open, assembly.max_spans)
        self._max_age = assembly.max_age
        self._journal = journal
        self._settlement = Settlement(journal)
        self._stage = StoreStage(
            store, ledger, keep_all=config.mlflow.keep == "all", max_services=config.mlflow.max_experiments
        )
        self._store = store
        self._ledger = ledger
        self._recorder = recorder
        self._clock = clock
        self._position = 0
        self._pending: list[Piece] = []
        self._attempts: Counter[bytes] = Counter()
        self._unavailable = 0
        self._next_upkeep = 0.0

    def step(self) -> float:
        """Do what can be done now; return the seconds to wait before the next step."""
        read = 0 if self._assembler.full else self._read()
        self._pending.extend(self._assembler.due(self._clock()))
        try:
            self._handle_pending()
            self._upkeep()
        except StoreUnavailable as error:
            self._unavailable += 1
            wait = min(MAX_BACKOFF_SECONDS, RETRY_SECONDS * 2.0 ** min(self._unavailable - 1, 10))
            _log.warning("MLflow is not available (%s); trying again in %g s", error, wait)
            return wait
        self._unavailable = 0
        if self._pending:
            return RETRY_SECONDS
        return 0.0 if read else IDLE_SECONDS

    def drain(self, deadline: float) -> None:
        """Store every complete trace, until `deadline` (Unix seconds); the rest stays in the journal."""
        while self._clock() < deadline and not self._assembler.full and self._read():
            pass
        due = self._assembler.due(self._clock(), stopping=True)
        self._pending.extend(piece for piece in due if piece.root_seen)
        try:
            self._handle_pending()
        except StoreUnavailable as error:
            _log.warning("stopping while MLflow is not available (%s); the rest stays in the journal", error)

    def _read(self) -> int:
        entries = self._journal.read(self._position, READ_REQUESTS, READ_BYTES)
        for entry in entries:
            try:
                trace_ids = self._add(entry, self._clock())
            except DecodeError as error:
                letter = DeadLetter(f"request-{entry.position}", UNKNOWN_SERVICE, entry.payload, str(error))
                self._recorder.record(Results(dead_lettered=[letter]), self._clock())
                trace_ids = set[bytes]()
            self._settlement.opened(entry.position, trace_ids)
            self._position = entry.position
        return len(entries)

    def _add(self, entry: JournalEntry, now: float) -> set[bytes]:
        """Hand an entry's spans or log records to the assembler; return their trace ids."""
        if entry.signal == "logs":
            logs = ExportLogsServiceRequest.FromString(entry.payload)
            records = [r for group in logs.resource_logs for scope in group.scope_logs for r in scope.log_records]
            self._assembler.add_logs(entry.position, records, now)
            return {record.trace_id for record in records}
        request = ExportTraceServiceRequest.FromString(entry.payload)
        spans = [
            SpanRecord(span, group.resource, scope.scope, entry.tenant)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        self._assembler.add_spans(entry.position, spans, now)
        return {record.span.trace_id for record in spans}

    def _handle_pending(self) -> None:
        pieces, retry = self._pending, list[Piece]()
        if pieces:
            results, failures = self._stage.run(pieces)
            retry = [piece for piece, _, error in failures if self._try_again(piece, error)]
            given_up = [
                DeadLetter(mlflow_trace_id(piece), service, otlp_request(piece).SerializeToString(), str(error))
                for piece, service, error in failures
                if not _holds(retry, piece)
            ]
            self._recorder.record(replace(results, dead_lettered=given_up), self._clock())
        for piece in pieces:
            if not _holds(retry, piece):
                self._settlement.done(piece)
        self._pending = retry
        self._settlement.flush()

    def _try_again(self, piece: Piece, error: Exception) -> bool:
        self._attempts[piece.trace_id] += 1
        if self._attempts[piece.trace_id] < MAX_ATTEMPTS:
            return True
        _log.error("trace %s goes to the dead letters: %s", mlflow_trace_id(piece), error)
        del self._attempts[piece.trace_id]
        return False

    def _upkeep(self) -> None:
        """Each minute: end traces whose root never came, forget old rows."""
        now = self._clock()
        if now < self._next_upkeep:
            return
        for row in self._ledger.unfinished(now - self._max_age):
            spans = self._store.read(row["trace_id"])
            if spans:
                self._recorder.finish(
                    CompleteTrace(
                        trace_id=row["trace_id"], service=row["service"], tracestate="", spans=spans, known=False
                    ),
                    now,
                )
        self._recorder.prune(now)
        self._journal.forget_owners(now - KEEP_SECONDS)
        self._next_upkeep = now + UPKEEP_SECONDS


def _holds(pieces: list[Piece], wanted: Piece) -> bool:
    return any(piece is wanted for piece in pieces)
