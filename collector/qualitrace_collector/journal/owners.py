"""Which tenant a trace belongs to: the one that sent the first of it, as the journal's file remembers."""

import sqlite3
from collections.abc import Iterable, Sequence

from qualitrace_collector.journal.entry import JournalEntry

SCHEMA = (
    "CREATE TABLE owner (trace_id BLOB PRIMARY KEY, tenant TEXT NOT NULL, seen_at REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX owner_by_age ON owner (seen_at)",
)

REFRESH_SECONDS = 86_400
"""How old `seen_at` may be although the trace still goes on: most requests need not write it."""


def foreign(connection: sqlite3.Connection, entries: Sequence[JournalEntry]) -> list[frozenset[bytes]]:
    """Return of each entry the traces that belong to another tenant, or to one that claims them earlier in the list."""
    claimed: dict[bytes, str] = {}
    found: list[frozenset[bytes]] = []
    for entry in entries:
        owners = {trace_id: claimed.get(trace_id, _owner(connection, trace_id)) for trace_id in entry.claims}
        others = frozenset(trace_id for trace_id, owner in owners.items() if owner not in (None, entry.tenant))
        if not others:
            claimed.update(dict.fromkeys(entry.claims, entry.tenant))
        found.append(others)
    return found


def claim(connection: sqlite3.Connection, entries: Iterable[JournalEntry]) -> None:
    """Give the traces that the entries claim to their tenants; those that have an owner keep it."""
    connection.executemany(
        "INSERT INTO owner VALUES (?, ?, ?) ON CONFLICT (trace_id) DO UPDATE SET seen_at = excluded.seen_at "
        f"WHERE seen_at < excluded.seen_at - {REFRESH_SECONDS}",
        [(trace_id, entry.tenant, entry.received_at) for entry in entries for trace_id in entry.claims],
    )


def forget(connection: sqlite3.Connection, older_than: float) -> None:
    """Forget the owners of traces of which nothing came since `older_than` (Unix seconds)."""
    connection.execute("DELETE FROM owner WHERE seen_at < ?", (older_than,))


def _owner(connection: sqlite3.Connection, trace_id: bytes) -> str | None:
    row = connection.execute("SELECT tenant FROM owner WHERE trace_id = ?", (trace_id,)).fetchone()
    return None if row is None else str(row[0])
