"""How many traces of each source lack what judges and metrics need; the totals outlive restarts."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from qualitrace_collector.names import OTHER
from qualitrace_collector.state.database import Database

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS coverage (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, content TEXT NOT NULL,
        traces INTEGER NOT NULL, lacking INTEGER NOT NULL,
        PRIMARY KEY (service, scope, dialect, content)) WITHOUT ROWID""",
)
MAX_SOURCES = 500
"""Scopes' names come from outside; those of further sources are called `other`."""

Content = Literal["input", "output", "tokens", "documents", "session"]


class Source(NamedTuple):
    """Whose telemetry it is: service, instrumentation scope, dialect."""

    service: str
    scope: str
    dialect: str


Coverage = Mapping[tuple[Source, Content], bool]
"""Whether a trace has what it should have, by who should have recorded it."""


class CoverageTotals:
    """Counts, over complete traces, who recorded what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def add(connection: sqlite3.Connection, traces: Iterable[Coverage]) -> None:
        """Count complete traces, each once, in the caller's transaction."""
        counts: dict[tuple[Source, str], list[int]] = {}
        for trace in traces:
            for key, has in trace.items():
                count = counts.setdefault(key, [0, 0])
                count[0] += 1
                count[1] += not has
        if not counts:
            return
        rows = connection.execute("SELECT DISTINCT service, scope, dialect FROM coverage").fetchall()
        known = {Source(*row) for row in rows}
        for (source, content), (seen, lacking) in counts.items():
            if source not in known and len(known) >= MAX_SOURCES:
                source = source._replace(scope=OTHER)  # noqa: PLW2901
            known.add(source)
            connection.execute(
                "INSERT INTO coverage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET traces = traces + excluded.traces, lacking = lacking + excluded.lacking",
                (*source, content, seen, lacking),
            )

    def totals(self) -> list[sqlite3.Row]:
        """Return rows of service, scope, dialect, content, traces, lacking; the most frequent source first."""
        return (
            self._database.connection()
            .execute(
                "SELECT *, max(traces) OVER (PARTITION BY service, scope, dialect) AS most FROM coverage "
                "ORDER BY most DESC, service, scope, dialect, content"
            )
            .fetchall()
        )
