"""The embedded journal: one SQLite file, shared by the process that appends and the one that reads and deletes.

WAL lets both work at once; synchronous=FULL syncs the log at every commit, so that what is acked survives
a power cut (https://sqlite.org/pragma.html#pragma_synchronous).
"""

import logging
import math
import os
import sqlite3
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from qualitrace_collector.journal import owners
from qualitrace_collector.journal.entry import Counts, JournalEntry, JournalError, JournalFull, JournalUnavailable
from qualitrace_collector.journal.last_acked import LastAcked
from qualitrace_collector.journal.schema import REMEDY, number, prepare
from qualitrace_collector.journal.settings import Journal
from qualitrace_collector.journal.write_ahead_log import ignored_tail

_log = logging.getLogger(__name__)

FILE_NAME = "journal.db"
LOCK_TIMEOUT_SECONDS = 5.0
MIN_FREE_BYTES = 1 << 20
"""Free space without which nothing is proven: a small commit reuses the log's space even on a full disk."""

_COUNT_PROOF = "INSERT INTO counter VALUES ('proofs', '', 1) ON CONFLICT (name, label) DO UPDATE SET total = total + 1"


class SqliteJournal:
    """An ordered log of requests in a SQLite file. Thread-safe; two processes may have it open.

    Args:
        path: the file; its folder is made with mode 0700, the file with 0600.
        max_size: bytes of payload that may be pending.
        lock_timeout: seconds to wait while the other process holds the write lock.

    Raises:
        JournalError: the file cannot be opened, is damaged, another program's or a newer version's.
    """

    def __init__(self, path: Path, max_size: int, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = path
        self.max_size = max_size
        self._lock = threading.Lock()
        self._last_acked = LastAcked(path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(
                path, timeout=lock_timeout, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened: {error.strerror}; check its permissions") from error

    @classmethod
    def of(cls, settings: Journal, data_dir: Path) -> Self:
        """Open the journal in `data_dir`."""
        return cls(data_dir / FILE_NAME, settings.max_size)

    def _prepare(self) -> None:
        """Check that the file is ours, or make it ours if it is empty; only then change anything."""
        with self._transaction() as connection:
            self._report_ignored()
            prepare(connection, self.path)
            self._report_missing(connection)
        with self._using() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    def _report_ignored(self) -> None:
        if size := ignored_tail(self.path):
            _log.warning(
                "%s-wal: %d bytes behind the last complete commit are ignored; after a crash they are requests that "
                "were not acked, after a fault of the disk they may have been",
                self.path,
                size,
            )

    def _report_missing(self, connection: sqlite3.Connection) -> None:
        """Report and count acked requests that somebody took away; their numbers are not used again."""
        last, acked = _last_position(connection), self._last_acked.read()
        if acked <= last:
            return
        _log.error(
            "%s: the requests %d to %d were acked and are missing, unless they were stored before: the file is older "
            "than they are, or its -wal was taken away or damaged; stop the server and put them back",
            self.path,
            last + 1,
            acked,
        )
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'entry'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', ?)", (acked,))
        _count(connection, {("requests_missing", FILE_NAME): acked - last})

    def append(self, entries: Sequence[JournalEntry], counts: Counts | None = None) -> None:
        """Append all entries with their claims, and add `counts` to the counters, in one commit; durable on return.

        Raises:
            JournalFull: they would take the pending bytes beyond `max_size`; nothing was written.
            JournalUnavailable: the file cannot be written now; nothing was written.
        """
        size = sum(len(entry.payload) for entry in entries)
        with self._transaction() as connection:
            self._check_room(connection, size)
            connection.executemany(
                "INSERT INTO entry (signal, received_at, size, payload, tenant) VALUES (?, ?, ?, ?, ?)",
                [(item.signal, item.received_at, len(item.payload), item.payload, item.tenant) for item in entries],
            )
            owners.claim(connection, entries)
            _count(connection, counts or {})
            last = _last_position(connection)
        if entries:
            self._last_acked.write(last)

    def prove(self, size: int) -> None:
        """Show by a commit that a request of `size` bytes can be made durable now; `proofs` counts it.

        Raises:
            JournalFull, JournalUnavailable: it cannot.
        """
        if (free := self.free_bytes()) < MIN_FREE_BYTES:
            raise JournalUnavailable(f"{self.path}: the disk has {free} bytes left; make room")
        if size:  # a file that has grown before takes a small commit even on a full disk
            with self._transaction() as connection:
                self._check_room(connection, size)
                connection.execute("INSERT OR REPLACE INTO counter VALUES ('padding', ?, 0)", (" " * size,))
        with self._transaction() as connection:
            self._check_room(connection, 1)
            connection.execute("DELETE FROM counter WHERE name = 'padding'")  # perhaps that of a process that died
            connection.execute(_COUNT_PROOF)

    def _check_room(self, connection: sqlite3.Connection, size: int) -> None:
        """Raise `JournalFull` if `size` bytes more do not fit."""
        if number(connection, "SELECT bytes FROM pending") + size > self.max_size:
            raise JournalFull(f"{self.path}: holds journal.max_size ({self.max_size} bytes) already")

    def free_bytes(self) -> float:
        """Return how much a file can grow; infinity where the file system does not say."""
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise JournalUnavailable(f"{self.path.parent}: cannot be read: {error.strerror}") from error
        if not disk.f_blocks:
            return math.inf
        return disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)  # a part may be root's alone

    def proofs(self) -> int:
        """Return a number that grows whenever `prove` or a request with its counts was made durable."""
        with self._using() as connection:
            # A request of which everything was rejected took no room, and shows nothing.
            names = "('proofs', 'spans_received', 'log_records_received')"
            return number(connection, f"SELECT coalesce(sum(total), 0) FROM counter WHERE name IN {names}")

    def oldest(self) -> float | None:
        """Return when the oldest request that waits was received, in Unix seconds; None if none waits."""
        with self._using() as connection:
            row = connection.execute("SELECT received_at FROM entry ORDER BY position LIMIT 1").fetchone()
        return None if row is None else float(row[0])

    def foreign(self, entries: Sequence[JournalEntry]) -> list[frozenset[bytes]]:
        """Return, for each entry, the traces that it may not claim.

        They belong to another tenant, or to one that claims them earlier in the list.
        """
        with self._using() as connection:
            return owners.foreign(connection, entries)

    def forget_owners(self, older_than: float) -> None:
        """Forget the owners of traces that got nothing new since `older_than` (Unix seconds)."""
        with self._transaction() as connection:
            owners.forget(connection, older_than)

    def read(self, after: int, limit: int, max_bytes: int) -> list[JournalEntry]:
        """Return up to `limit` entries after position `after`, in order.

        Payloads add up to `max_bytes` at most, but the first entry is returned whatever its size.
        """
        entries: list[JournalEntry] = []
        room = max_bytes
        with self._using() as connection:
            rows = connection.execute(f"{_ENTRIES} WHERE position > ? ORDER BY position LIMIT ?", (after, limit))
            for entry in map(_entry, rows):
                room -= len(entry.payload)
                if entries and room < 0:
                    break
                entries.append(entry)
            rows.close()  # an open cursor would keep the WAL from being reset
        return entries

    def get(self, position: int) -> JournalEntry | None:
        """Return the entry at a position; None if it is deleted."""
        with self._using() as connection:
            row = connection.execute(f"{_ENTRIES} WHERE position = ?", (position,)).fetchone()
        return row and _entry(row)

    def delete_done(self, positions: Iterable[int]) -> None:
        """Delete the entries at these positions; those already gone are fine."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM entry WHERE position = ?", [(item,) for item in positions])

    def pending(self) -> tuple[int, int]:
        """Return how many requests wait in the journal, and their bytes."""
        with self._using() as connection:
            requests, size = connection.execute("SELECT requests, bytes FROM pending").fetchone()
        return requests, size

    def counters(self) -> dict[tuple[str, str], int]:
        """Return every counter's total since the file was made, by name and label."""
        with self._using() as connection:
            rows = connection.execute("SELECT name, label, total FROM counter").fetchall()
        return {(name, label): total for name, label, total in rows}

    def close(self) -> None:
        """Close the file; safe twice."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _using(self) -> Generator[sqlite3.Connection]:
        """Hold the connection, and turn SQLite's errors into the journal's."""
        with self._lock:
            try:
                yield self._connection
            except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
                raise JournalUnavailable(
                    f"{self.path}: cannot be used: {error}; check the disk's free space and permissions"
                ) from error
            except sqlite3.DatabaseError as error:
                raise JournalError(f"{self.path}: is damaged or no journal: {error}; {REMEDY}") from error

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Run the block in one immediate transaction: all of it, durably, or nothing."""
        with self._using() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:  # the block or the commit failed
                    connection.execute("ROLLBACK")


_ENTRIES = "SELECT position, signal, payload, received_at, tenant FROM entry"


def _entry(row: tuple[Any, ...]) -> JournalEntry:
    position, signal, payload, received_at, tenant = row
    return JournalEntry(position=position, signal=signal, payload=payload, received_at=received_at, tenant=tenant)


def _last_position(connection: sqlite3.Connection) -> int:
    return number(connection, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'entry'")


def _count(connection: sqlite3.Connection, counts: Counts) -> None:
    connection.executemany(
        "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT (name, label) DO UPDATE SET total = total + excluded.total",
        [(name, label, amount) for (name, label), amount in counts.items()],
    )
