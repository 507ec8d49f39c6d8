"""How many traces of each source lack what judges and metrics need; the totals outlive restarts."""

import json
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
    """CREATE TABLE IF NOT EXISTS coverage_late (
        service TEXT NOT NULL, scope TEXT NOT NULL, dialect TEXT NOT NULL, content TEXT NOT NULL,
        traces INTEGER NOT NULL,
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


def dump_coverage(coverage: Coverage) -> str:
    """Return it as JSON text."""
    return json.dumps([[*source, content, has] for (source, content), has in coverage.items()])


def load_coverage(text: str) -> Coverage:
    """Return what `dump_coverage` wrote."""
    return {(Source(*source), content): has for *source, content, has in json.loads(text)}


def joined(before: Coverage, now: Coverage) -> Coverage:
    """Return what a trace has after more of it came: what was there stays, under its source."""
    sources = {content: source for source, content in before}
    result = dict(before)
    for (source, content), has in now.items():
        key = sources.get(content, source), content
        result[key] = result.get(key, False) or has
    return result


class CoverageTotals:
    """Counts, over complete traces, who recorded what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def change(connection: sqlite3.Connection, traces: Iterable[tuple[Coverage, Coverage]]) -> None:
        """Count complete traces in the caller's transaction, each given as it was counted before and as it is now."""
        counts: dict[tuple[Source, str], list[int]] = {}
        for before, now in traces:
            for key, has in now.items():
                if key not in before or has > before[key]:
                    count = counts.setdefault(key, [0, 0, 0])
                    count[0] += key not in before
                    count[1] += key not in before and not has
                    count[2] += key in before
        if not counts:
            return
        rows = connection.execute("SELECT DISTINCT service, scope, dialect FROM coverage").fetchall()
        known = {Source(*row) for row in rows}
        for (source, content), (seen, lacking, late) in counts.items():
            if source not in known and len(known) >= MAX_SOURCES:
                source = source._replace(scope=OTHER)  # noqa: PLW2901
            known.add(source)
            connection.execute(
                "INSERT INTO coverage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET traces = traces + excluded.traces, lacking = lacking + excluded.lacking",
                (*source, content, seen, lacking),
            )
            if late:
                connection.execute(
                    "INSERT INTO coverage_late VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET traces = traces + excluded.traces",
                    (*source, content, late),
                )

    def totals(self) -> list[sqlite3.Row]:
        """Return rows of service, scope, dialect, content, traces, lacking, lacked; the most frequent source first.

        `lacking` counts the traces that lack the content now; `lacked` those that did when they were complete for the
        first time, which never falls, as a counter must.
        """
        return (
            self._database.connection()
            .execute(
                "SELECT service, scope, dialect, content, c.traces, c.lacking - coalesce(l.traces, 0) AS lacking, "
                "c.lacking AS lacked, max(c.traces) OVER (PARTITION BY service, scope, dialect) AS most "
                "FROM coverage AS c LEFT JOIN coverage_late AS l USING (service, scope, dialect, content) "
                "ORDER BY most DESC, service, scope, dialect, content"
            )
            .fetchall()
        )
