"""The score table of the state database: one row per (trace, judge), the newest version and content."""

import sqlite3
from dataclasses import dataclass

from qualitrace_collector.state import Database

KEEP_SECONDS = 7 * 86_400.0
"""How long a score is kept at least: as long as its trace can be judged again."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS score (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, version TEXT NOT NULL, tier TEXT NOT NULL,
        service TEXT NOT NULL, model TEXT NOT NULL, prompt_version TEXT NOT NULL,
        value REAL NOT NULL, label TEXT NOT NULL, rationale TEXT NOT NULL,
        inclusion_probability REAL NOT NULL, assessment_id TEXT NOT NULL,
        tokens INTEGER NOT NULL, cost_usd REAL,
        completed_at REAL NOT NULL, scored_at REAL NOT NULL,
        PRIMARY KEY (trace_id, judge, tier)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS score_window ON score(completed_at, judge, service)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """A verdict with where it came from; `completed_at` and `scored_at` are Unix seconds.

    `inclusion_probability` 0 means shown, but left out of estimates: picked after the fact, or of earlier content.
    """

    trace_id: str
    judge: str
    version: str
    tier: str
    service: str
    model: str
    prompt_version: str
    value: float
    label: str
    rationale: str
    inclusion_probability: float
    assessment_id: str
    tokens: int
    cost_usd: float | None
    completed_at: float
    scored_at: float

    def replaces_another(self, connection: sqlite3.Connection) -> bool:
        """Whether the trace has a score of this judge and tier already."""
        query = "SELECT 1 FROM score WHERE trace_id = ? AND judge = ? AND tier = ?"
        return connection.execute(query, (self.trace_id, self.judge, self.tier)).fetchone() is not None

    @staticmethod
    def set_aside(connection: sqlite3.Connection, trace_id: str, judge: str) -> None:
        """Leave the trace's scores by all tiers of the judge out of estimates, in the caller's transaction."""
        query = "UPDATE score SET inclusion_probability = 0 WHERE trace_id = ? AND judge = ?"
        connection.execute(query, (trace_id, judge))

    def save(self, connection: sqlite3.Connection) -> None:
        """Insert or replace, in the caller's transaction."""
        values = [getattr(self, name) for name in self.__slots__]
        marks = ",".join("?" * len(values))
        connection.execute(f"INSERT OR REPLACE INTO score ({','.join(self.__slots__)}) VALUES ({marks})", values)


def prune(database: Database, older_than: float) -> None:
    """Forget the scores of traces completed before `older_than` (Unix seconds); MLflow keeps their assessments."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM score WHERE completed_at < ?", (older_than,))
