"""Group commit: all requests that wait go into one transaction, so that many share one sync of the disk."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_collector.journal.entry import Counts, ForeignTraces, JournalEntry, JournalFull, JournalUnavailable
from qualitrace_collector.journal.sqlite import SqliteJournal

MAX_WAITING_REQUESTS = 4096
MAX_WAITING_BYTES = 128 << 20
COUNTS_INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: JournalEntry
    counts: Counts
    committed: asyncio.Future[None]


class GroupCommitter:
    """A bounded queue before a journal, emptied by a thread of its own from construction to `stop()`."""

    def __init__(
        self,
        journal: SqliteJournal,
        *,
        max_waiting_requests: int = MAX_WAITING_REQUESTS,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._journal = journal
        self._max_requests = max_waiting_requests
        self._max_bytes = max_waiting_bytes
        self._wake = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._requests = 0  # waiting or being written
        self._bytes = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    async def append(self, entry: JournalEntry, counts: Counts) -> None:
        """Return when the entry, and `counts` with it, is durable.

        Raises:
            JournalFull: too much waits already (at once), or the journal is full.
            JournalUnavailable: the journal cannot be written, or is being stopped.
            ForeignTraces: the entry claims traces of another tenant.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._stopping:
                raise JournalUnavailable("the journal is being closed")
            self._take_room(len(entry.payload))
            self._waiting.append(_Waiting(entry, counts, committed))
            self._wake.notify()
        await committed

    def _take_room(self, size: int) -> None:
        if self._requests >= self._max_requests or self._bytes + size > self._max_bytes:
            raise JournalFull(f"{self._requests} requests ({self._bytes} bytes) wait for the disk already")
        self._requests += 1
        self._bytes += size

    def count(self, counts: Counts) -> None:
        """Add to the counters with the next commit, within a second at the latest."""
        with self._wake:
            self._counts.update(counts)

    def stop(self) -> None:
        """Write what waits and end the thread; safe twice. Blocks: call it off the event loop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._stopping, COUNTS_INTERVAL_SECONDS)
                group, self._waiting = self._waiting, []
                counts, self._counts = self._counts, Counter()
                stopping = self._stopping
            if group or counts:
                self._write(group, counts)
            if stopping:
                return

    def _write(self, group: Sequence[_Waiting], counts: Counter[tuple[str, str]]) -> None:
        total = counts.copy()
        try:
            group = self._without_foreign(group)
            for waiting in group:
                total.update(waiting.counts)
            self._journal.append([waiting.entry for waiting in group], total)
        except JournalFull as error:
            self._keep(counts)
            if len(group) > 1:  # a large request must not cost the small ones beside it their room
                for waiting in group:
                    self._write([waiting], Counter())
            else:
                self._finish(group, error)
        except Exception as error:  # whatever it is, those who wait must get it
            self._keep(counts)
            self._finish(group, error)
        else:
            self._finish(group, None)

    def _without_foreign(self, group: Sequence[_Waiting]) -> Sequence[_Waiting]:
        """Finish the entries that claim traces of another tenant; return the others.

        Only this thread gives traces to tenants, so what holds now holds when the others are written.
        """
        if not any(waiting.entry.claims for waiting in group):
            return group
        foreign = self._journal.foreign([waiting.entry for waiting in group])
        for waiting, trace_ids in zip(group, foreign, strict=True):
            if trace_ids:
                self._finish([waiting], ForeignTraces(trace_ids))
        return [waiting for waiting, trace_ids in zip(group, foreign, strict=True) if not trace_ids]

    def _keep(self, counts: Counter[tuple[str, str]]) -> None:
        """Put the counts that belong to no entry back for the next commit; there is none after a stop."""
        with self._wake:
            if not self._stopping:
                self._counts.update(counts)

    def _finish(self, group: Sequence[_Waiting], error: Exception | None) -> None:
        with self._wake:
            self._requests -= len(group)
            self._bytes -= sum(len(waiting.entry.payload) for waiting in group)
        if group:
            group[0].committed.get_loop().call_soon_threadsafe(_resolve, group, error)


def _resolve(group: Sequence[_Waiting], error: Exception | None) -> None:
    for waiting in group:
        if waiting.committed.done():  # its client went away
            continue
        if error is None:
            waiting.committed.set_result(None)
        else:
            waiting.committed.set_exception(error)
