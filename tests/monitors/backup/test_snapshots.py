"""Journal and state are copied as of one moment, whatever the server does meanwhile."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from qualitrace_collector.dead_letters.replay import replay
from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.state import Database, DeadLetter, DeadLetters
from qualitrace_monitors.backup import snapshots
from qualitrace_monitors.backup.manifest import BackupError
from support.waiting import eventually


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "journal.db", 1 << 20)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "state.db")
    letter = DeadLetter(trace_id="tr-1", service="shop", error="bad", traces=b"", logs=b"L", recorded_at=1.0)
    with database.transaction() as connection:
        DeadLetters.put(connection, letter)
    return database


def count(source: sqlite3.Connection, table: str) -> int:
    return source.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_copy_shows_the_moment_at_which_it_was_begun(journal: SqliteJournal, database: Database, tmp_path: Path):
    """A dead letter that is put back into the journal meanwhile is in the state's copy, and not in the journal's."""
    letters = DeadLetters(database)
    (summary,) = letters.summaries()
    letter = letters.get(summary["id"])
    assert letter is not None
    with snapshots.at_one_moment(journal.path, database.path) as (of_journal, of_state):
        replay([letter], letters, journal)
        assert journal.pending()[0] == 1
        snapshots.copy(of_journal, tmp_path / "copy-journal.db")
        snapshots.copy(of_state, tmp_path / "copy-state.db")
    with (
        closing(sqlite3.connect(tmp_path / "copy-journal.db")) as copied_journal,
        closing(sqlite3.connect(tmp_path / "copy-state.db")) as copied_state,
    ):
        assert (count(copied_journal, "entry"), count(copied_state, "dead_letter")) == (0, 1)


def test_the_state_stands_still_between_the_two_moments(journal: SqliteJournal, database: Database):
    """Else what goes from the state to the journal just then would be in neither copy."""
    blocker = sqlite3.connect(journal.path, isolation_level=None, check_same_thread=False)
    journal.close()
    blocker.execute("PRAGMA locking_mode = EXCLUSIVE")
    blocker.execute("DELETE FROM entry")  # takes the lock, which keeps readers out, and holds it
    seen: list[tuple[int, int]] = []

    def snapshot() -> None:
        with snapshots.at_one_moment(journal.path, database.path) as (of_journal, of_state):
            seen.append((count(of_journal, "entry"), count(of_state, "dead_letter")))

    def is_locked() -> bool:
        with closing(sqlite3.connect(database.path, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            other.execute("ROLLBACK")
            return False

    thread = threading.Thread(target=snapshot)
    thread.start()
    try:
        eventually(is_locked)
    finally:
        blocker.close()
        thread.join()
    assert seen == [(0, 1)]
    assert not is_locked()


def test_a_damaged_database_is_found(database: Database, tmp_path: Path):
    """It is named now, and not on the day on which the backup is needed."""
    with database.transaction() as connection:
        connection.executemany("INSERT INTO untraced VALUES (?, 'x', 1)", [(f"{n:0999}",) for n in range(200)])
    database.close()
    content = bytearray(database.path.read_bytes())
    content[-8192:] = b"\xff" * 8192
    database.path.write_bytes(content)
    with pytest.raises(BackupError, match=r"state\.db: the server's database is damaged"):
        snapshots.check(database.path)
