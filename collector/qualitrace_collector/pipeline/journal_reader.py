"""Both ends of the journal: reads its entries in order, and deletes those whose traces are all done with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import ValidationError

from qualitrace_collector.convert.trace import UNKNOWN_SERVICE
from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.piece import Piece, span_records
from qualitrace_collector.pipeline.assemble import Assembler
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.redaction import Redaction
from qualitrace_collector.process.in_work import MAX_DEATHS, InWork
from qualitrace_collector.state import DeadLetter

READ_REQUESTS = 1024
READ_BYTES = 4 << 20

# An entry with more spans or bytes is bulk: its traces take turns with those of other entries.
BULK_SPANS = 500
BULK_BYTES = 1 << 20

POISON = "the process `work` died {deaths} times while it worked on this request alone"


@dataclass(frozen=True, slots=True)
class _Outstanding:
    trace_ids: set[bytes]
    size: int
    spans: int


class JournalReader:
    """Decodes and redacts requests, and hands their spans and log records to the assembler, feedback to the recorder.

    Attributes:
        time: the clock of assembling, in Unix seconds: when the last entry arrived, or now once all are read. So a
            backlog is assembled as it came, however late it is read.
        held_spans: the spans and log records of the entries that wait for their traces.
        in_work: the positions of the entries that are in memory.
        retrying: the entries that a process died with before are read, some at a time; the others wait.

    Args:
        redact: the rules of `collector.redact`.
        clock: Unix seconds.
    """

    def __init__(
        self,
        journal: SqliteJournal,
        assembler: Assembler,
        recorder: Recorder,
        redact: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.time = 0.0
        self.held_spans = 0
        self._bytes = 0
        self._large: dict[int, int] = {}  # sizes of bulk entries, by position
        self.in_work = InWork(journal.path.with_name("collect.in-work"))
        self.retrying = self.in_work.trying
        self._journal = journal
        self._assembler = assembler
        self._recorder = recorder
        self._redaction = Redaction(redact)
        self._clock = clock
        self._position = 0
        self._outstanding: dict[int, _Outstanding] = {}
        self._done: list[int] = []

    def read(self) -> int:
        """Hand the next entries on; return how many."""
        if self.retrying:
            return self._retry()
        entries = self._journal.read(self._position, READ_REQUESTS, READ_BYTES)
        if entries:
            self.in_work.begin(str(entry.position) for entry in entries)
            self._position = entries[-1].position
        self._take(entries)
        self.time = entries[-1].received_at if entries else self._clock()
        return len(entries)

    def _retry(self) -> int:
        """Hand the next suspects on once those before them are done with; after the last, read as usual."""
        if self._outstanding:
            return 0
        if not (units := self.in_work.try_suspects()):
            self.retrying = False
            return self.read()
        entries = {unit: entry for unit in units if (entry := self._journal.get(int(unit)))}
        self.in_work.end(set(units) - entries.keys())  # they were done with before the process died
        self._take([*entries.values()])
        return len(units)

    def _take(self, entries: Sequence[JournalEntry]) -> None:
        for entry in entries:
            deaths, trace_ids = self.in_work.deaths(str(entry.position)), list[bytes]()
            if deaths > MAX_DEATHS:  # once more while it was only decoded
                self._give_up(entry, POISON.format(deaths=deaths))
            else:
                try:
                    trace_ids = self._hand_on(entry)
                except (DecodeError, ValidationError) as error:
                    self._give_up(entry, f"cannot be decoded: {error}")
            self._track(entry, trace_ids)
        self._recorder.count_redactions(self._redaction.take_counts())

    def poison(self, piece: Piece) -> str:
        """Return why a piece must not be worked on any more; empty if it may."""
        deaths = max((self.in_work.deaths(str(position)) for position in piece.positions), default=0)
        return POISON.format(deaths=deaths) if deaths >= MAX_DEATHS else ""

    @property
    def held_bytes(self) -> int:
        """The payload of the entries that wait for their traces, without the largest.

        A span keeps its whole request in memory, so this measures what is held, wherever the spans are. One request
        that fills the memory alone must not keep all others out.
        """
        return self._bytes - max(self._large.values(), default=0)

    def is_bulk(self, piece: Piece) -> bool:
        """Whether any of a piece came in an entry with so much that others must not wait for all of it."""
        held = (self._outstanding.get(position) for position in piece.positions)
        return any(entry and (entry.spans > BULK_SPANS or entry.size > BULK_BYTES) for entry in held)

    def _hand_on(self, entry: JournalEntry) -> list[bytes]:
        """Return the trace id of each span or log record of the entry."""
        if entry.signal == "feedback":
            given = self._redaction.feedback(PersonFeedback.model_validate_json(entry.payload))
            self._recorder.keep_feedback(given, entry.received_at)
            return []
        if entry.signal == "logs":
            logs = ExportLogsServiceRequest.FromString(entry.payload)
            self._redaction.logs(logs)
            records = [r for group in logs.resource_logs for scope in group.scope_logs for r in scope.log_records]
            self._assembler.add_logs(entry.position, records, entry.received_at)
            return [record.trace_id for record in records]
        request = ExportTraceServiceRequest.FromString(entry.payload)
        self._redaction.traces(request)
        spans = list(span_records(request, entry.tenant))
        self._assembler.add_spans(entry.position, spans, entry.received_at)
        return [record.span.trace_id for record in spans]

    def _give_up(self, entry: JournalEntry, error: str) -> None:
        kept_as = "logs" if entry.signal == "feedback" else entry.signal  # to be looked at: it cannot be replayed
        letter = DeadLetter(
            trace_id=f"request-{entry.position}",
            service=UNKNOWN_SERVICE,
            error=error,
            recorded_at=self._clock(),
            tenant=entry.tenant,
            **{kept_as: entry.payload},
        )
        self._recorder.keep_letter(letter)

    def _track(self, entry: JournalEntry, trace_ids: Sequence[bytes]) -> None:
        """Keep an entry until its traces are done with; one without traces is done at once."""
        if trace_ids:
            size = len(entry.payload)
            self._outstanding[entry.position] = _Outstanding(set(trace_ids), size, len(trace_ids))
            self._bytes += size
            self.held_spans += len(trace_ids)
            if size > BULK_BYTES:
                self._large[entry.position] = size
        else:
            self._done.append(entry.position)

    def finish(self, piece: Piece) -> None:
        """Note that a piece has its outcome."""
        for position in piece.positions:
            waiting = self._outstanding.get(position)
            if waiting is None:
                continue
            waiting.trace_ids.discard(piece.trace_id)
            if not waiting.trace_ids:
                del self._outstanding[position]
                self._bytes -= waiting.size
                self.held_spans -= waiting.spans
                self._large.pop(position, None)
                self._done.append(position)

    def delete_done(self) -> None:
        """Delete from the journal the entries whose traces all have their outcome."""
        if self._done:
            self._journal.delete_done(self._done)
            self.in_work.end(map(str, self._done))
            self._done = []
