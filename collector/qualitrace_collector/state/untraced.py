"""Libraries that an application uses and that are not traced, by service, as its own traces say."""

import sqlite3
from collections.abc import Iterable

from qualitrace_collector.state.database import Database


class Untraced:
    """Counts the complete traces that show such a library. The names are those of the SDK's table, so they are few."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def add(connection: sqlite3.Connection, found: Iterable[tuple[str, str]]) -> None:
        """Count a trace for each service and library, in the caller's transaction."""
        connection.executemany(
            "INSERT INTO untraced VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET traces = traces + 1", found
        )

    def totals(self) -> list[sqlite3.Row]:
        """Return rows of service, library and traces, the most frequent first."""
        return self._database.rows(
            "SELECT service, library, traces FROM untraced ORDER BY service, traces DESC, library"
        )
