"""Everything is accounted for: each trace and each (trace, judge) has exactly one outcome.

A trace's outcome is `stored`, `not_genai` or `dead_lettered`; a judgement's is `scored`, `sampled_out`,
`not_applicable`, `budget_skipped`, `failed` or `expired` (and `queued` until then). The totals are kept in
the same transaction as the rows, so that they outlive both restarts and the pruning of old rows.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from qualitrace_collector.state import counted, coverage, dead_letters, early_logs, unfinished
from qualitrace_collector.state.database import Database
from qualitrace_collector.state.unfinished import UnfinishedTrace

TraceOutcome = Literal["stored", "not_genai", "dead_lettered"]
TraceRecord = tuple[str, str, TraceOutcome, bool]
"""A trace's id, service and outcome, and whether it was whole and went to the judges."""

JudgementOutcome = Literal["queued", "scored", "sampled_out", "not_applicable", "budget_skipped", "failed", "expired"]

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS trace (
        trace_id TEXT PRIMARY KEY, service TEXT NOT NULL, outcome TEXT NOT NULL,
        root_seen INTEGER NOT NULL, recorded_at REAL NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS trace_by_age ON trace(recorded_at)",
    """CREATE TABLE IF NOT EXISTS ledger (
        judge TEXT NOT NULL, service TEXT NOT NULL, outcome TEXT NOT NULL, total INTEGER NOT NULL,
        counted INTEGER NOT NULL, PRIMARY KEY (judge, service, outcome)) WITHOUT ROWID""",
    *dead_letters.SCHEMA,
    *coverage.SCHEMA,
    *early_logs.SCHEMA,
    *unfinished.SCHEMA,
    *counted.SCHEMA,
)

MOST_AT_ONCE = 20
"""Unfinished traces that are returned together: all their spans are read back at once."""

WHOLE_TRACE = ""
"""The `judge` column of the rows that count traces."""


class Ledger:
    """Counts outcomes; every method runs inside the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def add(
        connection: sqlite3.Connection,
        service: str,
        outcome: TraceOutcome | JudgementOutcome,
        judge: str = WHOLE_TRACE,
        count: int = 1,
    ) -> None:
        """Add `count` (negative when an outcome is replaced) to the total of an outcome."""
        connection.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?) ON CONFLICT (judge, service, outcome) DO UPDATE "
            "SET total = total + excluded.total, counted = counted + excluded.counted",
            (judge, service, outcome, count, max(count, 0)),
        )

    @classmethod
    def record_traces(cls, connection: sqlite3.Connection, records: Sequence[TraceRecord], now: float) -> None:
        """Record the outcomes of many traces, those that are new in one statement; see `record_trace`."""
        known = _known(connection, [trace_id for trace_id, *_ in records])
        new: dict[str, TraceRecord] = {}
        for record in records:
            if record[0] not in known:
                new.setdefault(record[0], record)
        connection.executemany("INSERT INTO trace VALUES (?, ?, ?, ?, ?)", [(*record, now) for record in new.values()])
        totals: Counter[tuple[str, TraceOutcome]] = Counter((service, kind) for _, service, kind, _ in new.values())
        for (service, outcome), count in totals.items():
            cls.add(connection, service, outcome, count=count)
        for record in records:
            if new.get(record[0]) is not record:
                trace_id, service, outcome, root_seen = record
                cls.record_trace(connection, trace_id, service, outcome, root_seen=root_seen, now=now)

    @classmethod
    def record_trace(
        cls,
        connection: sqlite3.Connection,
        trace_id: str,
        service: str,
        outcome: TraceOutcome,
        *,
        root_seen: bool,
        now: float,
    ) -> bool:
        """Record a trace's outcome, replacing an earlier one; True if the trace was not known before.

        `root_seen` says that the trace was whole and went to the judges; once true it stays so.
        """
        row = connection.execute(
            "SELECT service, outcome, root_seen FROM trace WHERE trace_id = ?", (trace_id,)
        ).fetchone()
        if row is None:
            connection.execute("INSERT INTO trace VALUES (?, ?, ?, ?, ?)", (trace_id, service, outcome, root_seen, now))
            cls.add(connection, service, outcome)
            return True
        if row["outcome"] == "stored" and outcome == "not_genai":
            outcome = "stored"  # a late span without GenAI attributes does not undo what is stored
        connection.execute(
            "UPDATE trace SET outcome = ?, root_seen = ? WHERE trace_id = ?",
            (outcome, bool(root_seen or row["root_seen"]), trace_id),
        )
        if row["outcome"] != outcome:
            cls.add(connection, row["service"], row["outcome"], count=-1)
            cls.add(connection, row["service"], outcome)
        return False

    def counters(self) -> list[sqlite3.Row]:
        """Return every row, with `counted`: how often the outcome was given. It never falls, as a counter must."""
        return self._database.connection().execute("SELECT * FROM ledger").fetchall()

    def totals(self) -> list[sqlite3.Row]:
        """Return rows of judge (empty for whole traces), service, outcome, total: what is the case now."""
        return (
            self._database.connection()
            .execute("SELECT judge, service, outcome, total FROM ledger WHERE total > 0")
            .fetchall()
        )

    def services(self) -> list[str]:
        """Return the name of every service that ever had a trace."""
        rows = self._database.connection().execute("SELECT DISTINCT service FROM ledger")
        return [row["service"] for row in rows]

    def known_traces(self, trace_ids: list[str]) -> dict[str, sqlite3.Row]:
        """Return the rows of those traces that already have an outcome, by trace id."""
        return _known(self._database.connection(), trace_ids)

    def unfinished(self, older_than: float) -> list[UnfinishedTrace]:
        """Return stored traces without a root that were first recorded before `older_than`, the oldest first."""
        return self._waiting("trace LEFT JOIN unfinished USING (trace_id)", "recorded_at", "<", older_than)

    def silent(self, since: float) -> list[UnfinishedTrace]:
        """Return stored traces without a root of which nothing came after `since`, the oldest first."""
        return self._waiting("unfinished JOIN trace USING (trace_id)", "last_span_at", "<=", since)

    def _waiting(self, tables: str, column: str, before: str, time: float) -> list[UnfinishedTrace]:
        rows = self._database.connection().execute(
            "SELECT trace_id, service, coalesce(tracestate, '') AS tracestate "
            f"FROM {tables} WHERE {column} {before} ? AND root_seen = 0 AND outcome = 'stored' "
            f"ORDER BY {column} LIMIT {MOST_AT_ONCE}",
            (time,),
        )
        return [UnfinishedTrace(*row) for row in rows]

    @staticmethod
    def end(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> None:
        """Take stored traces for whole although their root has not come."""
        connection.executemany("UPDATE trace SET root_seen = 1 WHERE trace_id = ?", [(id_,) for id_ in trace_ids])

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float) -> None:
        """Forget traces recorded before `older_than`; the totals stay, and so do traces that may be replayed."""
        connection.execute(
            "DELETE FROM trace WHERE recorded_at < ? AND (root_seen = 1 OR outcome != 'stored') "
            "AND trace_id NOT IN (SELECT trace_id FROM dead_letter)",
            (older_than,),
        )


def _known(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, sqlite3.Row]:
    found: dict[str, sqlite3.Row] = {}
    for start in range(0, len(trace_ids), 500):
        chunk = trace_ids[start : start + 500]
        marks = ",".join("?" * len(chunk))
        for row in connection.execute(f"SELECT * FROM trace WHERE trace_id IN ({marks})", chunk):
            found[row["trace_id"]] = row
    return found
