"""Which journal entries are done with: those of which every trace's spans are durable elsewhere."""

from qualitrace_collector.assemble import Piece
from qualitrace_collector.journal import SqliteJournal


class Settlement:
    """Tracks the traces that each read journal entry still waits for."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal
        self._outstanding: dict[int, set[bytes]] = {}
        self._ready: list[int] = []

    def opened(self, position: int, trace_ids: set[bytes]) -> None:
        """Note an entry that was read; one without traces is done at once."""
        if trace_ids:
            self._outstanding[position] = trace_ids
        else:
            self._ready.append(position)

    def done(self, piece: Piece) -> None:
        """Note that a piece has its outcome."""
        for position in piece.positions:
            waiting = self._outstanding.get(position)
            if waiting is None:
                continue
            waiting.discard(piece.trace_id)
            if not waiting:
                del self._outstanding[position]
                self._ready.append(position)

    def flush(self) -> None:
        """Delete the entries that are done from the journal."""
        if self._ready:
            self._journal.settle(self._ready)
            self._ready = []
