"""The pieces that are due, in bounded batches; a refused piece is tried again, and given up in the end."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import chain

from qualitrace_collector.piece import Piece

BATCH_SPANS = 2000
BATCH_BYTES = 4 << 20
MAX_ATTEMPTS = 3
RETRY_SECONDS = 0.5


class Pending:
    """A queue that keeps each batch until its outcome is recorded.

    Batches are small so that a lock, a refusal or a stop holds up little, and one conversion takes little memory.
    """

    def __init__(self) -> None:
        self._due: deque[Piece] = deque()
        self._batches: deque[list[Piece]] = deque()
        self._refused: list[Piece] = []
        self._retry_at = 0.0
        self._attempts: Counter[bytes] = Counter()

    def __bool__(self) -> bool:
        """Whether something is due now; refused pieces that wait for their next try are not."""
        return bool(self._batches or self._due)

    def trace_ids(self) -> set[bytes]:
        """Return the traces of which a piece has no recorded outcome yet."""
        return {piece.trace_id for piece in chain(self._due, self._refused, *self._batches)}

    def add(self, pieces: Iterable[Piece]) -> None:
        """Queue pieces behind those that are due already."""
        self._due.extend(pieces)

    def retry(self, now: float) -> None:
        """Make the refused pieces due again once their time has come (Unix seconds)."""
        if now >= self._retry_at:
            self._due.extend(self._refused)
            self._refused = []

    def batches(self, most: int = 1) -> list[list[Piece]]:
        """Return the first batches without taking them out, each the same list until it is finished.

        No trace has two pieces in them: what is done with its second depends on the record of its first.
        """
        while len(self._batches) < most and (batch := self._next_batch()):
            self._batches.append(batch)
        return [*self._batches][:most]

    def _next_batch(self) -> list[Piece]:
        batch: list[Piece] = []
        traces = {piece.trace_id for earlier in self._batches for piece in earlier}
        spans = size = 0
        while self._due:
            piece = self._due[0]
            spans += len(piece.spans)
            size += sum(record.span.ByteSize() for record in piece.spans)
            if piece.trace_id in traces or (batch and (spans > BATCH_SPANS or size > BATCH_BYTES)):
                break
            batch.append(self._due.popleft())
            traces.add(piece.trace_id)
        return batch

    def is_last_try(self, piece: Piece) -> bool:
        """Whether another refusal of this piece is to be its last."""
        return self._attempts[piece.trace_id] + 1 >= MAX_ATTEMPTS

    def finish(self, batch: Sequence[Piece], refused: Sequence[Piece], now: float) -> list[Piece]:
        """Take the first batch off the queue; return its pieces without those to try again.

        Args:
            refused: the pieces to try again, a little after `now` (Unix seconds).
        """
        again = {piece.trace_id for piece in refused}
        self._batches.popleft()
        for piece in batch:
            if piece.trace_id not in again:
                del self._attempts[piece.trace_id]
        if refused:
            self._attempts.update(again)
            self._refused.extend(refused)
            self._retry_at = now + RETRY_SECONDS
        return [piece for piece in batch if piece.trace_id not in again]
