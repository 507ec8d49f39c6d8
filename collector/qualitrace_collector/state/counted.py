"""What was counted of each complete trace, so that late spans add what they bring and nothing twice."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from qualitrace_collector.state.coverage import Coverage, dump_coverage, load_coverage

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS counted (
        trace_id TEXT PRIMARY KEY, coverage TEXT NOT NULL, spent TEXT NOT NULL, counted_at REAL NOT NULL
        ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS counted_by_age ON counted(counted_at)",
)

Spent = Mapping[str, Mapping[str, float]]
"""What the calls of a trace used, by model and by kind: tokens (`input`, `output`) and US dollars (`usd`)."""


class Count(NamedTuple):
    """What was counted of a trace."""

    coverage: Coverage
    spent: Spent


class Counted:
    """Remembers what was counted; every method runs inside the caller's transaction."""

    @staticmethod
    def of(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, Count]:
        """Return what was counted of these traces; nothing of one that was never complete, or is forgotten."""
        rows = connection.execute(
            "SELECT trace_id, coverage, spent FROM counted WHERE trace_id IN (SELECT value FROM json_each(?))",
            (json.dumps(trace_ids),),
        )
        return {row["trace_id"]: Count(load_coverage(row["coverage"]), json.loads(row["spent"])) for row in rows}

    @staticmethod
    def put(connection: sqlite3.Connection, counts: Mapping[str, Count], now: float) -> None:
        """Remember what was counted, by trace id, in place of what was before."""
        connection.executemany(
            "INSERT OR REPLACE INTO counted VALUES (?, ?, ?, ?)",
            [
                (trace_id, dump_coverage(count.coverage), json.dumps(count.spent), now)
                for trace_id, count in counts.items()
            ],
        )

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float) -> None:
        """Forget what was counted before `older_than` (Unix seconds); late spans of these traces count no more."""
        connection.execute("DELETE FROM counted WHERE counted_at < ?", (older_than,))
