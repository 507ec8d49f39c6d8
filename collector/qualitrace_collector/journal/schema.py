"""Every table of `journal.db`, and whether a file has them."""

import sqlite3
from pathlib import Path

from qualitrace_collector.journal.entry import JournalError

APPLICATION_ID = int.from_bytes(b"QLTJ", "big")

# How to change it: raise VERSION by one, and add the statements that lead from the version before, for example
#
#     MIGRATIONS = {3: ("ALTER TABLE entry ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",)}
#
# and let `prepare` run them, in order, for every version above that of the file. SCHEMA is what a new file gets. No
# release has written another version yet, so `prepare` only refuses others; 1 was never released.
VERSION = 2
SCHEMA = (
    # AUTOINCREMENT never hands out a position twice, not even after the last row is deleted. `size` stands before
    # `payload` so that the totals need not load the blob.
    """CREATE TABLE entry (
        position INTEGER PRIMARY KEY AUTOINCREMENT, signal TEXT NOT NULL, received_at REAL NOT NULL,
        size INTEGER NOT NULL, payload BLOB NOT NULL, tenant TEXT NOT NULL)""",
    # The triggers keep the totals right whoever deletes.
    "CREATE TABLE pending (requests INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO pending VALUES (0, 0)",
    """CREATE TRIGGER entry_appended AFTER INSERT ON entry BEGIN
        UPDATE pending SET requests = requests + 1, bytes = bytes + new.size; END""",
    """CREATE TRIGGER entry_deleted AFTER DELETE ON entry BEGIN
        UPDATE pending SET requests = requests - 1, bytes = bytes - old.size; END""",
    """CREATE TABLE counter (
        name TEXT NOT NULL, label TEXT NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (name, label)) WITHOUT ROWID""",
    # Which tenant a trace belongs to: the one that sent the first of it.
    "CREATE TABLE owner (trace_id BLOB PRIMARY KEY, tenant TEXT NOT NULL, seen_at REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX owner_by_age ON owner (seen_at)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)

REMEDY = "move it away, or set data_dir to another folder"


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is ours, or make it ours if it is empty; only then change anything.

    Raises:
        JournalError: it is another program's, or another version's.
    """
    tables = number(connection, "SELECT count(*) FROM sqlite_master")
    version = number(connection, "PRAGMA user_version")
    if tables and number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise JournalError(f"{path}: is the database of another program; {REMEDY}")
    if version > VERSION:
        raise JournalError(
            f"{path}: has format {version}, newer than this qualitrace's {VERSION}; "
            f"use the qualitrace that wrote it, restore a backup from before, or {REMEDY}"
        )
    if tables and version < VERSION:
        raise JournalError(
            f"{path}: has format {version}, which this qualitrace ({VERSION}) cannot read; let the "
            f"qualitrace that wrote it store what waits there, or {REMEDY}"
        )
    for statement in () if tables else SCHEMA:
        connection.execute(statement)


def number(connection: sqlite3.Connection, query: str) -> int:
    """Return the only number that a query finds."""
    return int(connection.execute(query).fetchone()[0])
