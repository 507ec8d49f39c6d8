"""What complete traces have of what judges and metrics need, what they spent, and how many calls they made.

`counted` remembers it for each trace, so that late spans add what they bring and nothing twice; `coverage` has the
totals by source, which outlive restarts.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from qualitrace_collector.names import OTHER
from qualitrace_collector.state.database import Database
from qualitrace_collector.state.services import FULL_TENANTS

# Sources of one tenant. The names of scopes come from outside; further sources are called `other`.
MAX_SOURCES = 500

# What judges and metrics read (`documents` are the texts that a retriever returns), and the spans around a model's
# call: of a retriever, of tools, of the run of an agent.
Content = Literal["input", "output", "tokens", "documents", "session", "retriever", "tools", "run"]


class Source(NamedTuple):
    """Whose telemetry it is: service, instrumentation scope, dialect.

    Attributes:
        distro: `qualitrace` if its own SDK sent it, else empty.
        tenant: whose room it takes; empty without tenants.
    """

    service: str
    scope: str
    dialect: str
    distro: str = ""
    tenant: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is counted by."""
        return self[:3]


# Whether a trace has what it should have, by who should have recorded it.
Coverage = Mapping[tuple[Source, Content], bool]


def dump_coverage(coverage: Coverage) -> str:
    """Return coverage as JSON text."""
    return json.dumps([[*source, content, has] for (source, content), has in coverage.items()])


def load_coverage(text: str) -> Coverage:
    """Return what `dump_coverage` wrote."""
    return {(Source(*source), content): has for *source, content, has in json.loads(text)}


def joined(before: Coverage, now: Coverage) -> Coverage:
    """Return what a trace has after more of it came: what it had stays, under its source."""
    sources = {content: source for source, content in before}
    result = dict(before)
    for (source, content), has in now.items():
        key = sources.get(content, source), content
        result[key] = result.get(key, False) or has
    return result


INPUT, OUTPUT, USD = "input", "output", "usd"

# What the calls of a trace used, by model and by kind: tokens (`input`, `output`) and US dollars (`usd`).
Spent = Mapping[str, Mapping[str, float]]


def gained(before: Spent, now: Spent) -> Spent:
    """Return what a trace spent beyond what was counted before, by model and kind."""
    more: dict[str, dict[str, float]] = {}
    for kind in (INPUT, OUTPUT, USD):
        # A late span may show that a call goes by another model's name, or was counted already: what the models gain
        # together is never more than the sum has grown by.
        left = _sum(now, kind) - _sum(before, kind)
        for model, amounts in now.items():
            amount = min(left, amounts.get(kind, 0) - _of(before, model, kind))
            if amount > 0:
                more.setdefault(model, {})[kind] = amount
                left -= amount
    return more


def added(before: Spent, more: Spent) -> Spent:
    """Return the sum of both."""
    models = before.keys() | more.keys()
    kinds = (INPUT, OUTPUT, USD)
    return {
        model: {kind: total for kind in kinds if (total := _of(before, model, kind) + _of(more, model, kind))}
        for model in models
    }


def _of(spent: Mapping[str, Mapping[str, float]], model: str, kind: str) -> float:
    return spent.get(model, {}).get(kind, 0)


def _sum(spent: Spent, kind: str) -> float:
    return sum(amounts.get(kind, 0) for amounts in spent.values())


class Count(NamedTuple):
    """What was counted of a trace: what it has, what it spent, and how many calls of models it made."""

    coverage: Coverage
    spent: Spent
    calls: int


class Counted:
    """Remembers what was counted; every method runs inside the caller's transaction."""

    @staticmethod
    def of(connection: sqlite3.Connection, trace_ids: Sequence[str]) -> dict[str, Count]:
        """Return what was counted of these traces; nothing of one that was never complete, or is forgotten."""
        rows = connection.execute(
            "SELECT trace_id, coverage, spent, calls FROM counted WHERE trace_id IN (SELECT value FROM json_each(?))",
            (json.dumps(trace_ids),),
        )
        return {
            row["trace_id"]: Count(load_coverage(row["coverage"]), json.loads(row["spent"]), row["calls"])
            for row in rows
        }

    @staticmethod
    def put(connection: sqlite3.Connection, counts: Mapping[str, Count], now: float) -> None:
        """Remember what was counted, by trace id, in place of what was before."""
        connection.executemany(
            "INSERT OR REPLACE INTO counted (trace_id, coverage, spent, counted_at, calls) VALUES (?, ?, ?, ?, ?)",
            [
                (trace_id, dump_coverage(count.coverage), json.dumps(count.spent), now, count.calls)
                for trace_id, count in counts.items()
            ],
        )

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float) -> None:
        """Forget what was counted before `older_than` (Unix seconds); late spans of these traces count no more."""
        connection.execute("DELETE FROM counted WHERE counted_at < ?", (older_than,))


class _Room:
    """The sources that are counted, by tenant; inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        rows = connection.execute("SELECT service, scope, dialect, distro, tenant FROM coverage_source")
        self._known = {source.key: source for source in (Source(*row) for row in rows)}
        self._of_tenant = Counter(source.tenant for source in self._known.values())

    def take(self, source: Source) -> Source:
        """Return what a source is counted under: `other` in place of its scope if its tenant has no room."""
        known = self._known.get(source.key)
        if known is None and self._is_full(source.tenant):
            source = source._replace(scope=OTHER)
            known = self._known.get(source.key)
        if known is None:
            self._of_tenant[source.tenant] += 1
        if known is None or known.distro != source.distro:
            self._known[source.key] = source
            self._connection.execute(
                "INSERT INTO coverage_source VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET distro = excluded.distro",
                source,
            )
        return source

    def _is_full(self, tenant: str) -> bool:
        return self._of_tenant[tenant] >= MAX_SOURCES or len(self._known) >= MAX_SOURCES * FULL_TENANTS


class CoverageTotals:
    """Counts, over complete traces, who recorded what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def change(connection: sqlite3.Connection, traces: Iterable[tuple[Coverage, Coverage]]) -> None:
        """Count complete traces in the caller's transaction, each given as it was counted before and as it is now."""
        counts: dict[tuple[Source, str], list[int]] = {}  # seen for the first time; lacking then; found since
        for before, now in traces:
            for key, has in now.items():
                if key not in before or has > before[key]:
                    count = counts.setdefault(key, [0, 0, 0])
                    count[0] += key not in before
                    count[1] += key not in before and not has
                    count[2] += key in before
        if not counts:
            return
        room = _Room(connection)
        for (given, content), (seen, lacking, found_late) in counts.items():
            source = room.take(given)
            connection.execute(
                "INSERT INTO coverage VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET traces = traces + excluded.traces, lacking = lacking + excluded.lacking",
                (*source.key, content, seen, lacking),
            )
            if found_late:
                connection.execute(
                    "INSERT INTO coverage_late VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET traces = traces + excluded.traces",
                    (*source.key, content, found_late),
                )

    def totals(self) -> list[sqlite3.Row]:
        """Return rows of service, scope, dialect, distro, tenant, content, traces, lacking, lacked; the most frequent
        source first.

        `lacking` counts the traces that lack the content now; `lacked` those that did when they were complete for the
        first time, which never falls, as a counter must.
        """
        return self._database.rows(
            "SELECT service, scope, dialect, s.distro, s.tenant, content, c.traces, "
            "c.lacking - coalesce(l.traces, 0) AS lacking, "
            "c.lacking AS lacked, max(c.traces) OVER (PARTITION BY service, scope, dialect) AS most "
            "FROM coverage AS c JOIN coverage_source AS s USING (service, scope, dialect) "
            "LEFT JOIN coverage_late AS l USING (service, scope, dialect, content) "
            "ORDER BY most DESC, service, scope, dialect, content"
        )
