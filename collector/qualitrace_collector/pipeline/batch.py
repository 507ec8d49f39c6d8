"""What travels through the pipeline: batches of pieces, to which each step adds what it found or did.

convert     service, what is known of the trace, its earlier spans; the converted trace, or an error
store       an error where MLflow refused the trace
record      nothing: it writes each item's outcome to the state database
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain

from mlflow.entities import Span
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.trace import INVALID_SPAN
from opentelemetry.trace import Span as OwnSpan
from tenacity.wait import wait_exponential

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.convert.trace import mlflow_trace_id
from qualitrace_collector.mlflow_store.unavailable import StoreUnavailable
from qualitrace_collector.mlflow_store.writer_process import Writing
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.state import TraceOutcome, TraceRecord
from qualitrace_collector.state.coverage import Coverage

# Batches are small so that a lock, a refusal or a stop holds up little, and one conversion takes little memory.
BATCH_SPANS = 2000
BATCH_BYTES = 4 << 20

# Each attribute of a trace's resource is a row in MLflow's table of tags.
BATCH_TAGS = 20_000

# Batches of bulk are smaller: traces of other requests wait for up to three of them.
BULK_BATCH_SPANS = 500
MAX_ATTEMPTS = 3
RETRY_SECONDS = 0.5
WAIT = wait_exponential(multiplier=0.5, max=30)


@dataclass(slots=True, kw_only=True)
class BatchItem:
    """A piece of one trace.

    Attributes:
        trace_id: MLflow's.
        attempts: how often the piece was refused before.
        waits: how often it was put off without a refusal.
        poison: why it is given up without another try; empty if it is not.
        is_bulk: it came with so much that others must not wait for all of it.
        due_at: when it is tried again, in Unix seconds.
        service: the service that the trace is stored and counted under.
        is_renamed: the service is called `other`, because there are too many names.
        known: the ledger's record of the trace; None if the trace is new.
        earlier: the trace's spans that are stored already.
        early_logs: those of the piece's log records whose span has not come.
        trace: what is to be stored; None if nothing is.
        stored: the whole trace, with `trace` and `earlier` in it; None if nothing is stored.
        coverage: what the trace has of what judges and metrics need.
        untraced: libraries that the application uses and that are not traced.
        conflicts: spans left out because a different one with the same id came before.
        whole: the trace's root has come, or is not waited for any more.
        error: why the trace could not be converted or stored.
        outcome: what the ledger will say; None if there is nothing to say, or the piece is tried again.
    """

    piece: Piece
    trace_id: str = field(init=False)
    attempts: int = 0
    waits: int = 0
    poison: str = ""
    is_bulk: bool = False
    due_at: float = 0.0
    service: str = ""
    is_renamed: bool = False
    known: TraceRecord | None = None
    earlier: Sequence[Span] = ()
    early_logs: Sequence[LogRecord] = ()
    trace: ConvertedTrace | None = None
    stored: StoredTrace | None = None
    coverage: Coverage = field(default_factory=dict)
    untraced: Set[str] = frozenset()
    conflicts: int = 0
    whole: bool = False
    error: Exception | None = None
    outcome: TraceOutcome | None = None

    def __post_init__(self) -> None:
        self.trace_id = mlflow_trace_id(self.piece)

    @property
    def try_again(self) -> bool:
        """Whether the piece was refused, but not for the last time."""
        return self.error is not None and self.outcome is None

    def refuse(self, error: Exception) -> None:
        """Note that the trace cannot be converted or stored; the last attempt makes it a dead letter."""
        self.error = error
        self.outcome = "dead_lettered" if self.attempts + 1 >= MAX_ATTEMPTS else None

    def put_off(self, error: Exception) -> None:
        """Note that the trace was not stored, and that nobody refused it."""
        self.error, self.outcome = error, None
        self.waits += 1

    def give_up(self, error: Exception) -> None:
        """Make the piece a dead letter."""
        self.error, self.outcome = error, "dead_lettered"

    def anew(self) -> "BatchItem":
        """Return the item as it was before the first step."""
        return BatchItem(
            piece=self.piece,
            attempts=self.attempts,
            waits=self.waits,
            poison=self.poison,
            is_bulk=self.is_bulk,
        )

    def again(self, now: float) -> "BatchItem":
        """Return the item for its next try."""
        item, was_refused = self.anew(), not isinstance(self.error, StoreUnavailable)
        item.attempts += was_refused
        item.due_at = now + (RETRY_SECONDS if was_refused else seconds_after(self.waits, WAIT))
        return item

    @property
    def complete(self) -> StoredTrace | None:
        """The trace if it is stored, and whole."""
        return self.stored if self.outcome == "stored" and self.whole else None


@dataclass(slots=True)
class Batch:
    """Pieces that are converted and stored together, at most one of each trace.

    Attributes:
        size: of the items' spans, in bytes.
        converted: the batch has been converted; what is left to do is to store it.
        writing: what the writer's process was asked to do; None if nothing.
        span: the server's own span of it.
    """

    items: list[BatchItem]
    size: int = 0
    converted: bool = False
    writing: Writing | None = None
    span: OwnSpan = INVALID_SPAN

    @property
    def traces(self) -> list[ConvertedTrace]:
        """What is to be stored."""
        return [item.trace for item in self.items if item.trace is not None and item.error is None]

    def start_over(self) -> None:
        """Forget what was found out: MLflow went away in the middle. Every step may be repeated."""
        self.items = [item.anew() for item in self.items]
        self.converted, self.writing = False, None


class BatchQueue:
    """The pieces that are due, in bounded batches; each batch stays until its outcome is recorded.

    A refused piece is tried again, and given up in the end. The pieces of requests with very many spans, or bytes, wait
    apart from the others, and the two take turns.
    """

    def __init__(self) -> None:
        self._due: deque[BatchItem] = deque()
        self._bulk: deque[BatchItem] = deque()
        self._bulk_is_next = False
        self._batches: deque[Batch] = deque()
        self._refused: list[BatchItem] = []

    def __bool__(self) -> bool:
        """Whether something is due now; refused pieces that wait for their next try are not."""
        return bool(self._batches or self._due or self._bulk)

    @property
    def wants_more(self) -> bool:
        """Whether more pieces that are not bulk would make a batch sooner than those that are queued."""
        return not self._due

    def trace_ids(self) -> set[bytes]:
        """Return OTLP's ids of the traces that have a piece without a recorded outcome."""
        items = chain(self._due, self._bulk, self._refused, *(batch.items for batch in self._batches))
        return {item.piece.trace_id for item in items}

    def add(
        self,
        pieces: Iterable[Piece],
        poison: Callable[[Piece], str] = lambda _: "",
        is_bulk: Callable[[Piece], bool] = lambda _: False,
    ) -> None:
        """Queue pieces behind those that are due already.

        Args:
            poison: returns why a piece is given up without a try; empty if it is not.
            is_bulk: returns whether a piece takes turns with those that are not.
        """
        for piece in pieces:
            self._queue(BatchItem(piece=piece, poison=poison(piece), is_bulk=is_bulk(piece)))

    def retry(self, now: float) -> None:
        """Make the refused pieces due again once their time has come (Unix seconds)."""
        for item in self._refused:
            if item.due_at <= now:
                self._queue(item)
        self._refused = [item for item in self._refused if item.due_at > now]

    def _queue(self, item: BatchItem) -> None:
        (self._bulk if item.is_bulk else self._due).append(item)

    def first(self, most: int) -> list[Batch]:
        """Return the first batches, without taking them out.

        No trace has two pieces in them: what is done with its second depends on the record of its first.
        """
        while len(self._batches) < most and (batch := self._next_turn()):
            self._batches.append(batch)
        return [*self._batches][:most]

    def _next_turn(self) -> Batch | None:
        turns = [(self._due, BATCH_SPANS), (self._bulk, BULK_BATCH_SPANS)]
        if self._bulk_is_next:
            turns.reverse()
        for queue, most_spans in turns:
            batch = self._next_batch(queue, most_spans)
            if batch.items:
                self._bulk_is_next = queue is self._due
                return batch
        return None

    def _next_batch(self, queue: deque[BatchItem], most_spans: int) -> Batch:
        batch = Batch([])
        traces = {item.piece.trace_id for other in self._batches for item in other.items}
        spans = tags = 0
        while queue:
            piece = queue[0].piece
            spans += len(piece.spans)
            tags += len(piece.spans[0].resource.attributes) if piece.spans else 0
            size = batch.size + sum(record.span.ByteSize() for record in piece.spans)
            if piece.trace_id in traces or (
                batch.items and (spans > most_spans or size > BATCH_BYTES or tags > BATCH_TAGS)
            ):
                break
            batch.items.append(queue.popleft())
            batch.size = size
            traces.add(piece.trace_id)
        return batch

    def start_over(self) -> None:
        """Let every batch start over."""
        for batch in self._batches:
            batch.start_over()

    def finish_first(self, now: float) -> list[Piece]:
        """Take the first batch off the queue; return its pieces without those that are tried again.

        Args:
            now: Unix seconds.
        """
        items = self._batches.popleft().items
        self._refused.extend(item.again(now) for item in items if item.try_again)
        return [item.piece for item in items if not item.try_again]
