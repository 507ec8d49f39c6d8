"""Group commit: many requests share a transaction, waiting is bounded, nobody waits for ever."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.journal import (
    Counts,
    GroupCommitter,
    JournalEntry,
    JournalFull,
    JournalUnavailable,
    SqliteJournal,
)

COUNT: Counts = {("spans_received", "http"): 1}


class GatedJournal(SqliteJournal):
    """A real journal whose appends wait for `gate`, and that notes how many entries each one brought."""

    def __init__(self, path: Path, max_size: int) -> None:
        super().__init__(path, max_size, lock_timeout=0.05)
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.groups: list[int] = []

    def append(self, entries: Sequence[JournalEntry], counts: Counts | None = None) -> None:
        self.groups.append(len(entries))
        self.entered.set()
        assert self.gate.wait(20)
        super().append(entries, counts)


@pytest.fixture
def journal(tmp_path: Path) -> Generator[GatedJournal]:
    """A journal with room for 1000 bytes and a closed gate."""
    journal = GatedJournal(tmp_path / "journal.db", 1000)
    yield journal
    journal.close()


def entry(size: int = 1) -> JournalEntry:
    """Make an entry with a payload of `size` bytes."""
    return JournalEntry(signal="traces", payload=b"x" * size, received_at=1.0)


async def entered(journal: GatedJournal) -> None:
    """Wait until the writer is inside an append."""
    assert await asyncio.to_thread(journal.entered.wait, 20)


async def finish(committer: GroupCommitter) -> None:
    """Stop the committer off the event loop."""
    await asyncio.to_thread(committer.stop)


def test_requests_that_wait_share_one_transaction(journal: GatedJournal) -> None:
    """While one commit is under way fifty requests gather, and the next commit takes them all."""

    async def run() -> None:
        committer = GroupCommitter(journal)
        first = asyncio.create_task(committer.append(entry(), COUNT))
        await entered(journal)
        rest = [asyncio.create_task(committer.append(entry(), COUNT)) for _ in range(50)]
        await asyncio.wait(rest, timeout=0)  # let each reach the queue
        assert not first.done()
        journal.gate.set()
        await asyncio.gather(first, *rest)
        assert journal.pending()[0] == 51
        await finish(committer)

    asyncio.run(run())
    assert journal.groups == [1, 50]
    assert journal.counters() == {("spans_received", "http"): 51}


@pytest.mark.parametrize("bounds", [{"max_waiting_requests": 2}, {"max_waiting_bytes": 2}])
def test_beyond_the_bound_a_request_is_refused_at_once(journal: GatedJournal, bounds: dict[str, int]) -> None:
    """With the disk hanging, the third request is refused without waiting; the two before it are kept."""

    async def run() -> None:
        committer = GroupCommitter(journal, **bounds)
        kept = [asyncio.create_task(committer.append(entry(), COUNT)) for _ in range(2)]
        await entered(journal)
        with pytest.raises(JournalFull, match="wait for the disk"):
            await committer.append(entry(), COUNT)
        journal.gate.set()
        await asyncio.gather(*kept)
        await committer.append(entry(), COUNT)
        await finish(committer)

    asyncio.run(run())
    assert journal.pending()[0] == 3


def test_a_large_request_does_not_cost_the_small_ones_their_room(journal: GatedJournal) -> None:
    """In a group that is too large as a whole, each entry that fits alone is kept."""

    async def run() -> list[Any]:
        committer = GroupCommitter(journal)
        first = asyncio.create_task(committer.append(entry(100), COUNT))
        await entered(journal)
        group = [asyncio.create_task(committer.append(entry(size), COUNT)) for size in (10, 950, 20)]
        await asyncio.wait(group, timeout=0)
        journal.gate.set()
        await first
        answers = await asyncio.gather(*group, return_exceptions=True)
        await finish(committer)
        return answers

    small, large, other = asyncio.run(run())
    assert small is other is None
    assert isinstance(large, JournalFull)
    assert journal.pending() == (3, 130)
    assert journal.counters() == {("spans_received", "http"): 3}


def test_counts_alone_are_written_without_a_request(
    journal: GatedJournal, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    """Refusals reach the journal's counters by themselves, though no request comes after them."""
    journal.gate.set()
    committer = GroupCommitter(journal)
    committer.count({("requests_refused", "full"): 2})
    committer.count({("requests_refused", "full"): 1})
    eventually(lambda: journal.counters() == {("requests_refused", "full"): 3})
    committer.stop()


def test_stop_writes_what_waits_and_refuses_what_comes_after(journal: GatedJournal) -> None:
    """Stopping drains requests and counts, is safe twice, and then refuses instead of hanging."""

    async def run() -> None:
        committer = GroupCommitter(journal)
        waiting = [asyncio.create_task(committer.append(entry(), COUNT)) for _ in range(3)]
        await entered(journal)
        committer.count({("requests_refused", "full"): 1})
        stopping = asyncio.create_task(finish(committer))
        journal.gate.set()
        await asyncio.gather(stopping, *waiting)
        await finish(committer)
        with pytest.raises(JournalUnavailable, match="being closed"):
            await committer.append(entry(), COUNT)

    asyncio.run(run())
    assert journal.pending()[0] == 3
    assert journal.counters() == {("spans_received", "http"): 3, ("requests_refused", "full"): 1}


def test_a_failed_commit_is_told_to_all_and_frees_their_room(journal: GatedJournal, tmp_path: Path) -> None:
    """While the file is locked requests fail, their counts are dropped, refusals' counts kept for later."""
    journal.gate.set()
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)

    async def run() -> None:
        committer = GroupCommitter(journal, max_waiting_requests=2)
        other.execute("BEGIN IMMEDIATE")
        committer.count({("requests_refused", "full"): 1})
        answers = await asyncio.gather(*(committer.append(entry(), COUNT) for _ in range(2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [JournalUnavailable, JournalUnavailable]
        other.execute("ROLLBACK")
        await asyncio.gather(*(committer.append(entry(), COUNT) for _ in range(2)))
        await finish(committer)

    asyncio.run(run())
    assert journal.counters() == {("spans_received", "http"): 2, ("requests_refused", "full"): 1}


def test_a_client_that_goes_away_does_not_harm_the_others(journal: GatedJournal) -> None:
    """A cancelled wait leaves the rest of its group to be answered."""

    async def run() -> None:
        committer = GroupCommitter(journal)
        first = asyncio.create_task(committer.append(entry(), COUNT))
        await entered(journal)
        gone, stays = (asyncio.create_task(committer.append(entry(), COUNT)) for _ in range(2))
        await asyncio.wait([gone, stays], timeout=0)
        gone.cancel()
        journal.gate.set()
        await asyncio.wait_for(asyncio.gather(first, stays), 20)
        await finish(committer)

    asyncio.run(run())
    assert journal.groups == [1, 2]
