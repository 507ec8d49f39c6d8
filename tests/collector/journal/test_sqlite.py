"""The SQLite journal: order, durability, bounds, and files that are not its own."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.journal import (
    JournalEntry,
    JournalError,
    JournalFull,
    JournalUnavailable,
    SqliteJournal,
)


def entry(payload: bytes = b"payload") -> JournalEntry:
    """Make a traces entry."""
    return JournalEntry(signal="traces", payload=payload, received_at=12.5)


def open_journal(folder: Path, max_size: int = 1 << 20) -> SqliteJournal:
    """Open the journal in `folder`, with a short wait for locks."""
    return SqliteJournal(folder / "journal.db", max_size, lock_timeout=0.05)


def read_all(journal: SqliteJournal) -> list[JournalEntry]:
    """Read every entry."""
    return journal.read(0, 1_000_000, 1 << 40)


def test_entries_come_back_whole_and_in_order_to_another_connection(tmp_path: Path) -> None:
    """What one process appended, another reads: same bytes, signal and time, in the order of appending."""
    open_journal(tmp_path).append(
        [entry(b"first"), JournalEntry(signal="logs", payload=b"\x00\xff", received_at=13.25)]
    )
    first, second = read_all(open_journal(tmp_path))
    assert (first.signal, first.payload, first.received_at) == ("traces", b"first", 12.5)
    assert (second.signal, second.payload, second.received_at) == ("logs", b"\x00\xff", 13.25)
    assert first.position < second.position


def test_read_is_bounded_by_position_count_and_bytes(tmp_path: Path) -> None:
    """A read returns what lies behind `after`, at most `limit` entries and `max_bytes`, but never starves."""
    journal = open_journal(tmp_path)
    journal.append([entry(b"x" * size) for size in (10, 20, 30, 500)])
    positions = [item.position for item in read_all(journal)]

    def sizes(after: int, limit: int, max_bytes: int) -> list[int]:
        return [len(item.payload) for item in journal.read(after, limit, max_bytes)]

    assert sizes(positions[0], 10, 1000) == [20, 30, 500]
    assert sizes(0, 2, 1000) == [10, 20]
    assert sizes(0, 10, 30) == [10, 20]
    assert sizes(0, 10, 29) == [10]
    assert sizes(positions[2], 10, 100) == [500]


def test_positions_are_never_reused(tmp_path: Path) -> None:
    """After everything is settled and the file reopened, new positions lie behind the old ones."""
    journal = open_journal(tmp_path)
    journal.append([entry(), entry()])
    old = [item.position for item in read_all(journal)]
    journal.delete_done(old)
    journal.close()
    reopened = open_journal(tmp_path)
    reopened.append([entry()])
    assert read_all(reopened)[0].position > max(old)


@given(st.lists(st.one_of(st.lists(st.integers(0, 300), max_size=4), st.sets(st.integers(1, 20))), max_size=12))
def test_pending_always_equals_what_is_left(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[int] | set[int]]
) -> None:
    """Whatever is appended (sizes) and settled (positions, also unknown or twice), totals and rows agree."""
    journal = open_journal(tmp_path_factory.mktemp("journal"))
    expected: dict[int, int] = {}
    last = 0
    for step in steps:
        if isinstance(step, set):
            journal.delete_done(step)
            expected = {position: size for position, size in expected.items() if position not in step}
        else:
            journal.append([entry(b"x" * size) for size in step])
            expected.update({last + index: size for index, size in enumerate(step, start=1)})
            last += len(step)
    assert {item.position: len(item.payload) for item in read_all(journal)} == expected
    assert journal.pending() == (len(expected), sum(expected.values()))
    journal.close()


def test_a_full_journal_refuses_the_whole_append_until_something_is_settled(tmp_path: Path) -> None:
    """Beyond max_size nothing is written, neither entry nor counter; room made by another process counts."""
    journal, other = open_journal(tmp_path, max_size=100), open_journal(tmp_path)
    journal.append([entry(b"x" * 100)])
    with pytest.raises(JournalFull, match=r"journal\.db.*journal\.max_size \(100 bytes\)"):
        journal.append([entry(b"y")], {("requests_received", "http"): 1})
    assert journal.pending() == (1, 100)
    assert journal.counters() == {}
    other.delete_done([read_all(other)[0].position])
    journal.append([entry(b"y")])
    assert journal.pending() == (1, 1)


def test_counters_add_up_over_connections(tmp_path: Path) -> None:
    """Counters written with an append and without one are summed, and seen by the other process."""
    journal = open_journal(tmp_path)
    journal.append([entry()], {("spans_received", "http"): 5, ("spans_received", "grpc"): 1})
    journal.append([], {("spans_received", "http"): 2})
    assert open_journal(tmp_path).counters() == {("spans_received", "http"): 7, ("spans_received", "grpc"): 1}


def test_a_locked_journal_is_unavailable_and_recovers(tmp_path: Path) -> None:
    """While another process holds the write lock an append fails in the time allowed, then works again."""
    journal = open_journal(tmp_path)
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match=r"journal\.db: cannot be used: database is locked"):
        journal.append([entry()])
    other.execute("ROLLBACK")
    journal.append([entry()])
    assert journal.pending()[0] == 1


_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from qualitrace_collector.journal import JournalEntry, JournalUnavailable, SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]) / "journal.db", 1 << 30)
entry = JournalEntry(signal="traces", payload=bytes(300_000), received_at=1.0)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
journal.append([entry])
try:
    journal.append([entry])
except JournalUnavailable as error:
    print("unavailable", journal.pending()[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append([entry])
print("recovered", journal.pending()[0], len(journal.read(0, 10, 1 << 30)))
"""


def test_a_disk_without_space_makes_it_unavailable_and_it_recovers(tmp_path: Path) -> None:
    """When the system refuses to let the file grow, the append is undone; with space again it works."""
    done = subprocess.run([sys.executable, "-c", _FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["unavailable", "1", "recovered", "2", "2"]


def test_every_commit_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that writes runs with the WAL and synchronous=FULL (2), else acked could be lost."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def recording(*args: object, **options: object) -> sqlite3.Connection:
        opened.append(connect(*args, **options))  # pyright: ignore
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", recording)
    open_journal(tmp_path)
    assert opened[0].execute("PRAGMA synchronous").fetchone() == (2,)
    assert opened[0].execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Prompts and answers are in there: folder 0700, file and WAL 0600."""
    journal = open_journal(tmp_path / "data")
    journal.append([entry()])
    paths = [journal.path.parent, journal.path, tmp_path / "data" / "journal.db-wal"]
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o700, 0o600, 0o600]


_APPEND = """
import sys
from pathlib import Path
from qualitrace_collector.journal import JournalEntry, SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]) / "journal.db", 1 << 30)
for _ in range(20):
    journal.append([JournalEntry(signal="traces", payload=b"x", received_at=1.0)])
"""


def test_processes_may_make_the_file_at_the_same_moment(tmp_path: Path) -> None:
    """Four processes that start together agree on one journal and lose no entry."""
    started = [subprocess.Popen([sys.executable, "-c", _APPEND, str(tmp_path)]) for _ in range(4)]
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    assert open_journal(tmp_path).pending() == (80, 80)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A SQLite file that is not a journal is named with the remedy, and not a byte of it changes."""
    foreign = sqlite3.connect(tmp_path / "journal.db")
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    before = (tmp_path / "journal.db").read_bytes()
    with pytest.raises(JournalError, match=r"journal\.db: is the database of another program; move it away"):
        open_journal(tmp_path)
    assert (tmp_path / "journal.db").read_bytes() == before


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (3, r"format 3, newer than .* 2; use the qualitrace that wrote it, restore a backup"),
        (1, r"format 1, which this qualitrace \(2\) cannot read; let the qualitrace"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, version: int, message: str) -> None:
    """At the start, not at the first request; the message says what to do with the requests that may wait in it."""
    open_journal(tmp_path).close()
    other = sqlite3.connect(tmp_path / "journal.db")
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(JournalError, match=message):
        open_journal(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file in the journal's place is named with the remedy."""
    (tmp_path / "journal.db").write_text("not a database, but longer than a hundred bytes " * 10)
    with pytest.raises(JournalError, match=r"journal\.db: is damaged or no journal: .*set data_dir"):
        open_journal(tmp_path)


def test_damage_is_reported_by_the_reader(tmp_path: Path) -> None:
    """Garbage over the pages of the entries shows as a JournalError that names the file, not as data."""
    journal = open_journal(tmp_path)
    journal.append([entry(os.urandom(50_000)) for _ in range(4)])
    journal.close()
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"journal\.db: is damaged"):
        read_all(open_journal(tmp_path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be gives an error with the path and the system's reason."""
    (tmp_path / "data").write_text("")
    with pytest.raises(JournalError, match=r"data/journal\.db: cannot be opened: File exists"):
        open_journal(tmp_path / "data")


def test_close_is_safe_twice_and_what_comes_after_is_refused(tmp_path: Path) -> None:
    """A closed journal refuses with its own error, so that a late request is answered and not lost."""
    journal = open_journal(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.append([entry()])
