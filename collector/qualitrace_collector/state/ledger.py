"""Everything is accounted for: each trace and each (trace, judge) has exactly one outcome.

A trace's outcome is `stored`, `not_genai` or `dead_lettered`; a judgement's is `scored`, `sampled_out`,
`not_matched`, `not_applicable`, `budget_skipped`, `failed` or `expired` (and `queued` until then). The totals are
kept in the same transaction as the rows, so that they outlive both restarts and the pruning of old rows.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from qualitrace_collector.state.coverage import Coverage, dump_coverage, load_coverage
from qualitrace_collector.state.database import Database

TraceOutcome = Literal["stored", "not_genai", "dead_lettered"]
JudgementOutcome = Literal[
    "queued", "scored", "sampled_out", "not_matched", "not_applicable", "budget_skipped", "failed", "expired"
]

TRACE_OUTCOMES: tuple[TraceOutcome, ...] = get_args(TraceOutcome)
JUDGEMENT_OUTCOMES: tuple[JudgementOutcome, ...] = get_args(JudgementOutcome)

# Unfinished traces that are returned together: all their spans are read back at once.
MOST_AT_ONCE = 20

# The `judge` column of the rows that count traces.
WHOLE_TRACE = ""

# One parameter for any number of ids: SQLite limits how many `?` a statement may have.
_THESE = "trace_id IN (SELECT value FROM json_each(?))"

_KNOWN = f"SELECT trace_id, service, outcome, root_seen FROM trace WHERE {_THESE}"


class TraceRecord(NamedTuple):
    """What became of a trace.

    Attributes:
        root_seen: the trace was whole and went to the judges; once true it stays so.
    """

    trace_id: str
    service: str
    outcome: TraceOutcome
    root_seen: bool


class UnfinishedTrace(NamedTuple):
    """A stored trace without a local root.

    Attributes:
        tracestate: of its spans; shows head sampling.
    """

    trace_id: str
    service: str
    tracestate: str


class Ledger:
    """The outcomes of traces, and the totals of all outcomes.

    The static methods run inside the caller's transaction.
    """

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
    def record_traces(cls, connection: sqlite3.Connection, records: Iterable[TraceRecord], now: float) -> None:
        """Record the outcomes of traces; a trace that has one already gets the new one in its place."""
        records = list(records)
        known = _by_trace(connection.execute(_KNOWN, (_as_json(record.trace_id for record in records),)))
        given, replaced = Counter[tuple[str, TraceOutcome]](), Counter[tuple[str, TraceOutcome]]()
        for record in records:
            before = known.get(record.trace_id)
            after = record if before is None else _merged(before, record)
            if before is None or before.outcome != after.outcome:
                given[after.service, after.outcome] += 1
                if before is not None:
                    replaced[before.service, before.outcome] += 1
            known[record.trace_id] = after
        connection.executemany(
            "INSERT INTO trace (trace_id, service, outcome, root_seen, recorded_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET outcome = excluded.outcome, root_seen = excluded.root_seen",
            [(*record, now) for record in known.values()],
        )
        # Not netted: `counted` grows by what is given, whatever is replaced in the same batch.
        for (service, outcome), count in given.items():
            cls.add(connection, service, outcome, count=count)
        for (service, outcome), count in replaced.items():
            cls.add(connection, service, outcome, count=-count)

    @staticmethod
    def end(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> None:
        """Record stored traces as whole although their root has not come."""
        connection.execute(f"UPDATE trace SET root_seen = 1 WHERE {_THESE}", (_as_json(trace_ids),))

    @staticmethod
    def not_matched(connection: sqlite3.Connection, trace_ids: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return, by trace id, the judges for which the traces count as `not_matched`, in the caller's transaction."""
        query = f"SELECT trace_id, not_matched FROM trace WHERE not_matched != '' AND {_THESE}"
        rows = connection.execute(query, (_as_json(trace_ids),))
        return {row["trace_id"]: frozenset(row["not_matched"].split()) for row in rows}

    @staticmethod
    def set_not_matched(connection: sqlite3.Connection, trace_id: str, judges: Iterable[str]) -> None:
        """Note for which judges a trace counts as `not_matched`, in the caller's transaction."""
        values = " ".join(sorted(judges)), trace_id
        connection.execute("UPDATE trace SET not_matched = ? WHERE trace_id = ?", values)

    @staticmethod
    def put_unfinished(
        connection: sqlite3.Connection, trace_id: str, last_span_at: float, tracestate: str, coverage: Coverage
    ) -> None:
        """Let a stored trace wait for its root; if it does already, more of it came.

        Args:
            last_span_at: when the last of it came, in Unix seconds.
        """
        connection.execute(
            "INSERT INTO unfinished VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "last_span_at = max(last_span_at, excluded.last_span_at), coverage = excluded.coverage, "
            "tracestate = CASE tracestate WHEN '' THEN excluded.tracestate ELSE tracestate END",
            (trace_id, last_span_at, tracestate, dump_coverage(coverage)),
        )

    @staticmethod
    def take_unfinished(connection: sqlite3.Connection, trace_ids: Iterable[str]) -> dict[str, Coverage]:
        """Let traces wait no longer; return the coverage of those that did."""
        asked = (_as_json(trace_ids),)
        rows = connection.execute(f"SELECT trace_id, coverage FROM unfinished WHERE {_THESE}", asked).fetchall()
        connection.execute(f"DELETE FROM unfinished WHERE {_THESE}", asked)
        return {row["trace_id"]: load_coverage(row["coverage"]) for row in rows}

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float) -> None:
        """Forget traces recorded before `older_than`; the totals stay, and so do traces that may be replayed.

        Traces that wait for their root stay, too, until their last span is that old: then they were given up.
        """
        connection.execute(
            "DELETE FROM trace WHERE recorded_at < ? AND (root_seen = 1 OR outcome != 'stored') "
            "AND trace_id NOT IN (SELECT trace_id FROM dead_letter)",
            (older_than,),
        )
        connection.execute("DELETE FROM unfinished WHERE last_span_at < ?", (older_than,))

    def counters(self) -> list[sqlite3.Row]:
        """Return every row, with `counted`: how often the outcome was given."""
        return self._database.rows("SELECT * FROM ledger")

    def totals(self) -> list[sqlite3.Row]:
        """Return rows of judge (empty for whole traces), service, outcome, and how many have it now."""
        return self._database.rows("SELECT judge, service, outcome, total FROM ledger WHERE total > 0")

    def known_traces(self, trace_ids: Iterable[str]) -> dict[str, TraceRecord]:
        """Return the records of those traces that already have an outcome, by trace id."""
        return _by_trace(self._database.rows(_KNOWN, (_as_json(trace_ids),)))

    def open_traces(self, trace_ids: Iterable[str]) -> set[str]:
        """Return those of the traces that are stored and wait for their root."""
        query = f"SELECT trace_id FROM trace WHERE outcome = 'stored' AND root_seen = 0 AND {_THESE}"
        return {row["trace_id"] for row in self._database.rows(query, (_as_json(trace_ids),))}

    def unfinished(self, older_than: float) -> list[UnfinishedTrace]:
        """Return stored traces without a root that were first recorded before `older_than`, the oldest first."""
        return self._unfinished("trace LEFT JOIN unfinished USING (trace_id)", "recorded_at", "<", older_than)

    def silent(self, since: float) -> list[UnfinishedTrace]:
        """Return stored traces without a root that got nothing new after `since`, the oldest first."""
        return self._unfinished("unfinished JOIN trace USING (trace_id)", "last_span_at", "<=", since)

    def _unfinished(self, tables: str, column: str, before: str, time: float) -> list[UnfinishedTrace]:
        rows = self._database.rows(
            "SELECT trace_id, service, coalesce(tracestate, '') AS tracestate "
            f"FROM {tables} WHERE {column} {before} ? AND root_seen = 0 AND outcome = 'stored' "
            f"ORDER BY {column} LIMIT {MOST_AT_ONCE}",
            (time,),
        )
        return [UnfinishedTrace(*row) for row in rows]


def _by_trace(rows: Iterable[sqlite3.Row]) -> dict[str, TraceRecord]:
    return {row[0]: TraceRecord(row[0], row[1], row[2], bool(row[3])) for row in rows}


def _merged(before: TraceRecord, now: TraceRecord) -> TraceRecord:
    # A late span without GenAI attributes does not undo what is stored.
    outcome = "stored" if (before.outcome, now.outcome) == ("stored", "not_genai") else now.outcome
    return TraceRecord(before.trace_id, before.service, outcome, before.root_seen or now.root_seen)


def _as_json(ids: Iterable[str]) -> str:
    return json.dumps([*ids])
