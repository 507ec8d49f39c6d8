"""Which tenant a trace belongs to: the one that sent the first of it."""

import sqlite3
from collections.abc import Sequence

from qualitrace_collector.journal.entry import JournalEntry

REFRESH_SECONDS = 86_400
"""How old an owner's `seen_at` may be although the trace still goes on: most requests need not write it."""


def claim(connection: sqlite3.Connection, entries: Sequence[JournalEntry]) -> None:
    """Let each entry's tenant own the traces that it claims; a trace that has an owner keeps it."""
    connection.executemany(
        "INSERT INTO owner VALUES (?, ?, ?) ON CONFLICT (trace_id) DO UPDATE SET seen_at = excluded.seen_at "
        f"WHERE seen_at < excluded.seen_at - {REFRESH_SECONDS}",
        [(trace_id, item.tenant, item.received_at) for item in entries for trace_id in item.claims],
    )


def foreign(connection: sqlite3.Connection, entries: Sequence[JournalEntry]) -> list[frozenset[bytes]]:
    """Return, for each entry, the traces that it may not claim: another tenant owns them, or claims them before it."""
    claimed: dict[bytes, str] = {}
    found: list[frozenset[bytes]] = []
    for entry in entries:
        owners = {trace_id: claimed.get(trace_id, _owner(connection, trace_id)) for trace_id in entry.claims}
        others = frozenset(key for key, owner in owners.items() if owner not in (None, entry.tenant))
        if not others:
            claimed.update(dict.fromkeys(entry.claims, entry.tenant))
        found.append(others)
    return found


def forget(connection: sqlite3.Connection, older_than: float) -> None:
    """Forget the owners of traces that got nothing new since `older_than` (Unix seconds)."""
    connection.execute("DELETE FROM owner WHERE seen_at < ?", (older_than,))


def _owner(connection: sqlite3.Connection, trace_id: bytes) -> str | None:
    row = connection.execute("SELECT tenant FROM owner WHERE trace_id = ?", (trace_id,)).fetchone()
    return None if row is None else str(row[0])
