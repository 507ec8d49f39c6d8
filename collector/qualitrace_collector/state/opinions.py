"""What people said of traces, as far as pages show it; MLflow has it as assessments."""

import json
import sqlite3
from collections.abc import Sequence

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state.database import Database

MAX_COMMENT = 500
"""Characters of a comment that are kept."""
MOST = 100_000
"""Opinions that are kept, the newest ones: some tens of megabytes at most."""


class Opinions:
    """Labels and thumbs: the newest of each person on a trace under a name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, trace_ids: Sequence[str]) -> list[sqlite3.Row]:
        """Return what was said of these traces, the newest first."""
        query = "SELECT * FROM opinion WHERE trace_id IN (SELECT value FROM json_each(?)) ORDER BY given_at DESC, name"
        return self._database.rows(query, (json.dumps(list(trace_ids)),))

    @staticmethod
    def put(connection: sqlite3.Connection, feedback: PersonFeedback, now: float) -> None:
        """Keep an opinion in the caller's transaction; `now` is in Unix seconds."""
        value = feedback.value if isinstance(feedback.value, str) else json.dumps(feedback.value)
        comment = feedback.comment or ""
        if len(comment) > MAX_COMMENT:
            comment = comment[: MAX_COMMENT - 1] + "…"
        row = (feedback.mlflow_trace_id, feedback.name, feedback.source, feedback.user or "", value, comment, now)
        connection.execute("INSERT OR REPLACE INTO opinion VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float, most: int = MOST) -> None:
        """Delete those given before `older_than` (Unix seconds), and all but `most`, in the caller's transaction."""
        connection.execute("DELETE FROM opinion WHERE given_at < ?", (older_than,))
        query = "SELECT given_at FROM opinion ORDER BY given_at DESC LIMIT 1 OFFSET ?"
        if beyond := connection.execute(query, (most,)).fetchone():
            connection.execute("DELETE FROM opinion WHERE given_at <= ?", (beyond["given_at"],))
