"""Stored traces whose local root has not come: when their last span came, and what they had by then."""

import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from qualitrace_collector.state.coverage import Coverage, dump_coverage, load_coverage

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS unfinished (
        trace_id TEXT PRIMARY KEY, last_span_at REAL NOT NULL, tracestate TEXT NOT NULL, coverage TEXT NOT NULL
        ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS unfinished_by_silence ON unfinished(last_span_at)",
)


class UnfinishedTrace(NamedTuple):
    """A stored trace without a local root.

    Attributes:
        tracestate: of its spans; shows head sampling.
    """

    trace_id: str
    service: str
    tracestate: str


class Unfinished:
    """Notes which traces wait for their root; every method runs inside the caller's transaction."""

    @staticmethod
    def put(
        connection: sqlite3.Connection, trace_id: str, last_span_at: float, tracestate: str, coverage: Coverage
    ) -> None:
        """Let a trace wait for its root; if it does already, more of it came."""
        connection.execute(
            "INSERT INTO unfinished VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "last_span_at = max(last_span_at, excluded.last_span_at), coverage = excluded.coverage, "
            "tracestate = CASE tracestate WHEN '' THEN excluded.tracestate ELSE tracestate END",
            (trace_id, last_span_at, tracestate, dump_coverage(coverage)),
        )

    @staticmethod
    def take(connection: sqlite3.Connection, trace_ids: Iterable[str]) -> dict[str, Coverage]:
        """Let traces wait no longer; return the coverage of those that did."""
        asked = (json.dumps([*trace_ids]),)
        these = "FROM unfinished WHERE trace_id IN (SELECT value FROM json_each(?))"
        rows = connection.execute(f"SELECT trace_id, coverage {these}", asked).fetchall()
        connection.execute(f"DELETE {these}", asked)
        return {row["trace_id"]: load_coverage(row["coverage"]) for row in rows}

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float) -> None:
        """Forget those whose last span came before `older_than` (Unix seconds): they were given up."""
        connection.execute("DELETE FROM unfinished WHERE last_span_at < ?", (older_than,))
