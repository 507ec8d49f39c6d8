"""SQLite with WAL and synchronous=FULL: one connection a thread, short immediate transactions."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from qualitrace_collector.state import schema
from qualitrace_collector.state.migrations import MIGRATIONS

FILE_NAME = "state.db"
BUSY_TIMEOUT_SECONDS = 10.0

_REMEDY = "check the disk's free space and permissions, move the file away, or set data_dir to another folder"


_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StateError(Exception):
    """The database file cannot be used; the message says which and why."""


class Database:
    """The state database, shared by the threads and processes of one host.

    Args:
        path: the file; its folder is made with mode 0700.

    Raises:
        StateError: the file cannot be opened, is not a SQLite database, or has tables of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with self.transaction() as connection:
                self._claim_version(connection)
                for statement in schema.STATEMENTS:
                    connection.execute(statement)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: cannot be used as a database: {error}; {_REMEDY}") from error

    def _claim_version(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= schema.VERSION:  # SQLite gives 0 to a new file
            raise StateError(
                f"{self.path}: has tables of version {version}, and this qualitrace knows {schema.VERSION}: "
                "use the qualitrace that wrote it, restore a backup from before, or set data_dir to another folder"
            )
        for later in range(version + 1, schema.VERSION + 1) if version else ():
            for statement in MIGRATIONS[later]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {schema.VERSION}")

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """Open the state database in `data_dir`."""
        return cls(data_dir / FILE_NAME)

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened at first use."""
        existing: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if existing is not None:
            return existing
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        self._local.connection = connection
        with self._lock:
            self._connections.append(connection)
        return connection

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query, as this thread's transaction sees them if it has one open.

        Raises:
            StateError: the file is damaged.
        """
        try:
            return self.connection().execute(query, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            self._raise_if_damaged(error)
            raise

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Run the block in one immediate transaction: all of it, durably, or nothing.

        Raises:
            StateError: the file is damaged.
        """
        connection = self.connection()
        # IMMEDIATE takes the write lock first, and waits for it. A transaction that only wants it after it has read
        # fails at once if another one has written meanwhile.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:  # SQLite rolls back by itself after some errors, a full disk among them
                connection.execute("ROLLBACK")
            self._raise_if_damaged(error)
            raise

    def _raise_if_damaged(self, error: BaseException) -> None:
        # SQLite's extended codes have the kind of error in their low byte.
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            raise StateError(
                f"{self.path}: is damaged: {error}; stop the server, and put a backup in its place or move it away "
                "with its -wal and -shm: MLflow keeps traces and scores; queue, ledger and dead letters are lost"
            ) from error

    def close(self) -> None:
        """Close every thread's connection; safe twice."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()


@contextmanager
def read_only(path: Path) -> Generator[sqlite3.Connection]:
    """Open a state database to read it beside a running server, as one snapshot; nothing is written to its file.

    Raises:
        StateError: it cannot be read, or has tables of another version.
    """
    try:
        address = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
        with closing(connection):
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != schema.VERSION:
                raise StateError(
                    f"{path}: has tables of version {version}, and this qualitrace reads {schema.VERSION}: "
                    "start the server of this qualitrace first, or use the qualitrace that wrote it"
                )
            yield connection
    except sqlite3.Error as error:
        raise StateError(f"{path}: cannot be read: {error}") from error
