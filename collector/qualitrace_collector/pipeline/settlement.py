"""Which journal entries are done with: those of which every trace's spans are durable elsewhere."""

from dataclasses import dataclass

from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.piece import Piece


@dataclass(frozen=True, slots=True)
class _Outstanding:
    trace_ids: set[bytes]
    size: int


class Settlement:
    """Tracks the traces that each read journal entry still waits for.

    Attributes:
        held_bytes: the payload of the entries that wait. Any span of a request keeps the whole of it in memory,
            so this measures what is held, wherever the spans are.
    """

    def __init__(self, journal: SqliteJournal) -> None:
        self.held_bytes = 0
        self._journal = journal
        self._outstanding: dict[int, _Outstanding] = {}
        self._ready: list[int] = []

    def opened(self, entry: JournalEntry, trace_ids: set[bytes]) -> None:
        """Note an entry that was read; one without traces is done at once."""
        if trace_ids:
            self._outstanding[entry.position] = _Outstanding(trace_ids, len(entry.payload))
            self.held_bytes += len(entry.payload)
        else:
            self._ready.append(entry.position)

    def done(self, piece: Piece) -> None:
        """Note that a piece has its outcome."""
        for position in piece.positions:
            waiting = self._outstanding.get(position)
            if waiting is None:
                continue
            waiting.trace_ids.discard(piece.trace_id)
            if not waiting.trace_ids:
                del self._outstanding[position]
                self.held_bytes -= waiting.size
                self._ready.append(position)

    def flush(self) -> None:
        """Delete the entries that are done from the journal."""
        if self._ready:
            self._journal.delete_done(self._ready)
            self._ready = []
