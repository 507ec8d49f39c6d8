"""Copies of SQLite databases that others write to, each as it was at one moment."""

import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from qualitrace_collector.cli import NAME_THE_CONFIGURATION
from qualitrace_monitors.backup.manifest import BackupError

STATE_SECONDS = 10.0
"""How long a lock of journal or state is waited for: a server's transactions take milliseconds."""
MLFLOW_SECONDS = 60.0
"""The same of MLflow's database: who deletes many traces there holds it for long."""


@contextmanager
def at_one_moment(journal: Path, state: Path) -> Generator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Give a connection to the journal and one to the state database, which see both as they were at the same moment.

    The server goes on writing meanwhile.

    Raises:
        BackupError: one of them cannot be read.
    """
    with ExitStack() as stack:
        guard, of_state = (stack.enter_context(_opened(state, STATE_SECONDS)) for _ in range(2))
        of_journal = stack.enter_context(_opened(journal, STATE_SECONDS))
        # The state does not change between the two moments. Otherwise a dead letter that is put back into the journal
        # just then would be in neither copy.
        _execute(guard, state, "BEGIN IMMEDIATE")
        _begin(of_journal, journal)
        _begin(of_state, state)
        guard.execute("ROLLBACK")
        yield of_journal, of_state


@contextmanager
def at_a_moment(mlflow: Path) -> Generator[sqlite3.Connection]:
    """Give a connection to MLflow's database, which sees it as it is now; without WAL, nobody else writes meanwhile.

    Raises:
        BackupError: it cannot be read.
    """
    with _opened(mlflow, MLFLOW_SECONDS) as connection:
        _begin(connection, mlflow)
        yield connection


def copy(source: sqlite3.Connection, target: Path) -> None:
    """Copy what a connection sees into a new file, durably.

    Raises:
        BackupError: it cannot be written.
    """
    with closing(sqlite3.connect(target)) as connection:
        try:
            source.backup(connection)  # in one step: more steps would start over whenever somebody has written
        except sqlite3.Error as error:
            raise BackupError(f"{target}: cannot be written: {error}; check its disk's free space") from error


def check(copied: Path) -> None:
    """Raise `BackupError` if a copy, and with it the database, is damaged."""
    with closing(sqlite3.connect(f"{copied.resolve().as_uri()}?immutable=1", uri=True)) as connection:
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            found = str(error)
    if found != "ok":
        raise BackupError(f"{copied.name}: the server's database is damaged, and a copy of it would be, too: {found}")


@contextmanager
def _opened(path: Path, timeout: float) -> Generator[sqlite3.Connection]:
    if not path.exists():
        raise BackupError(f"{path}: no such file; {NAME_THE_CONFIGURATION}")
    # Not only to read: what a crash left in a log is applied first.
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=timeout, isolation_level=None
        )
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    with closing(connection):
        yield connection


def _begin(connection: sqlite3.Connection, path: Path) -> None:
    """Begin a transaction that reads: what it sees does not change any more."""
    _execute(connection, path, "BEGIN")
    _execute(connection, path, "SELECT count(*) FROM sqlite_master")


def _execute(connection: sqlite3.Connection, path: Path, statement: str) -> None:
    try:
        connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: sqlite3.Error) -> BackupError:
    locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    remedy = "find the process that holds its lock, and try again" if locked else "run the command as the server's user"
    return BackupError(f"{path}: cannot be read: {error}; {remedy}")
