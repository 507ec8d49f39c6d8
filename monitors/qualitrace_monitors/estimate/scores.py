"""The score table of the state database: one row per (trace, judge, tier), of the newest version and content.

Estimates need only sums over the scores. The sums of each minute are kept in a second table, `score_minute`, and change
in the transaction that changes a score: every scrape, page and alert rule reads its window anew, and an hour may hold
half a million scores.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qualitrace_collector.sample import SLICES
from qualitrace_collector.state import Database
from qualitrace_monitors.estimate import answers, pairs
from qualitrace_monitors.estimate.minutes import MINUTE, minute_of, split

KEEP_SECONDS = 30 * 86_400.0
"""How long a score is kept at least: the period of a quality objective, and of the alerts' promise."""

MAX_RATIONALE = 400
"""Characters of a rationale that are kept: what pages and notifications show. MLflow's assessment has all of it."""

FIRST = ("version", "service", "value", "label", "scored_at", "session", *SLICES)
"""What is kept of a trace's first verdict when it is judged again: what alerts have bet on."""

_KEYS = "minute, judge, tier, service"
_SUMS = {
    "samples": "1",
    "verdicts": "label != 'unsure'",
    "w": "w",
    "ww": "w * w",
    "passed_1": "w * (label = 'pass')",
    "passed_w1": "w * w * (label = 'pass')",
    "not_failed_1": "w * (label != 'fail')",
    "not_failed_w1": "w * w * (label != 'fail')",
    "value_1": "w * value",
    "value_2": "w * value * value",
    "value_w1": "w * w * value",
    "value_w2": "w * w * value * value",
}
"""The sums over scores of weight w = 1 / inclusion probability, as `Moments` takes them, and two counts."""

_TERMS = f"""
    SELECT cast(completed_at / {MINUTE} AS INTEGER) AS minute, judge, tier, service,
           {", ".join(f"{term} AS {name}" for name, term in _SUMS.items())}
    FROM (SELECT *, 1 / inclusion_probability AS w FROM score WHERE inclusion_probability > 0 AND {{condition}})"""

_ADDED = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)

_OF_TRACE = "trace_id = :trace_id AND judge = :judge AND tier = ifnull(:tier, tier)"

_COUNT = f"""
    INSERT INTO score_minute
    SELECT {_KEYS}, {", ".join(f":sign * {name}" for name in _SUMS)}
    FROM ({_TERMS.format(condition=_OF_TRACE)}) WHERE true
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)}"""

_SUM_UP = f"""
    SELECT judge, tier, service, {_ADDED}
    FROM (SELECT * FROM score_minute WHERE minute >= :first AND minute < :end
          UNION ALL {_TERMS.format(condition="completed_at > :start AND completed_at < :head AND completed_at <= :now")}
          UNION ALL {_TERMS.format(condition="completed_at >= :tail AND completed_at <= :now")})
    WHERE (:judge IS NULL OR judge = :judge) AND (:service IS NULL OR service = :service)
    GROUP BY judge, tier, service HAVING sum(samples) > 0 ORDER BY judge, tier, service"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """A score with its origin.

    Attributes:
        inclusion_probability: 0 leaves the score out of estimates, but not out of the pages: its trace was picked
            after the fact, or held other content.
        completed_at, scored_at: Unix seconds.
        session, route, release, environment, retriever: the sample's, see its metadata; empty where it has none.
        weight: for alerts, relative, see `JudgeTask`; 0 if they leave the score out.
        first: JSON of `FIRST`, of the verdict that alerts have bet on; empty if that is this one.
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
    session: str = ""
    route: str = ""
    release: str = ""
    environment: str = ""
    retriever: str = ""
    weight: float = 0.0
    first: str = ""

    def replaces_another(self, connection: sqlite3.Connection) -> bool:
        """Whether the trace already has a score by this judge and tier."""
        query = "SELECT 1 FROM score WHERE trace_id = ? AND judge = ? AND tier = ?"
        return connection.execute(query, (self.trace_id, self.judge, self.tier)).fetchone() is not None

    @staticmethod
    def set_aside(connection: sqlite3.Connection, trace_id: str, judge: str) -> None:
        """Leave the trace's scores by all tiers of the judge out of estimates; in the caller's transaction."""
        _count(connection, -1, trace_id, judge)
        query = "UPDATE score SET inclusion_probability = 0 WHERE trace_id = ? AND judge = ?"
        connection.execute(query, (trace_id, judge))

    def save(self, connection: sqlite3.Connection) -> None:
        """Insert or replace the score; in the caller's transaction."""
        _count(connection, -1, self.trace_id, self.judge, self.tier)
        kept = replace(self, rationale=_shortened(self.rationale), **_first_bet(connection, self))
        values = [getattr(kept, name) for name in self.__slots__]
        marks = ",".join("?" * len(values))
        connection.execute(f"INSERT OR REPLACE INTO score ({','.join(self.__slots__)}) VALUES ({marks})", values)
        _count(connection, 1, self.trace_id, self.judge, self.tier)


def _first_bet(connection: sqlite3.Connection, row: ScoreRow) -> dict[str, Any]:
    """Return weight and verdict of the row that this one replaces, if any: the trace keeps its bet."""
    query = "SELECT * FROM score WHERE trace_id = ? AND judge = ? AND tier = ?"
    before = connection.execute(query, (row.trace_id, row.judge, row.tier)).fetchone()
    if before is None:
        return {}
    first = before["first"] or json.dumps({name: before[name] for name in FIRST})
    return {"weight": before["weight"], "first": first}


def _shortened(rationale: str) -> str:
    return rationale if len(rationale) <= MAX_RATIONALE else rationale[: MAX_RATIONALE - 1] + "…"


def _count(connection: sqlite3.Connection, sign: int, trace_id: str, judge: str, tier: str | None = None) -> None:
    """Add a trace's scores, as they are now, `sign` times (1 or -1) to the sums of their minutes.

    Call it with -1 before each change of a score and with 1 after it.
    """
    connection.execute(_COUNT, {"sign": sign, "trace_id": trace_id, "judge": judge, "tier": tier})
    pairs.count(connection, sign, trace_id, judge)


def assessment_ids(database: Database, trace_ids: Sequence[str]) -> dict[tuple[str, str, str], str]:
    """Return the ids of the traces' assessments in MLflow, by trace id, judge and tier."""
    query = "SELECT trace_id, judge, tier, assessment_id FROM score WHERE trace_id IN (SELECT value FROM json_each(?))"
    rows = database.rows(query, (json.dumps(trace_ids),))
    return {(row["trace_id"], row["judge"], row["tier"]): row["assessment_id"] for row in rows}


def sum_up(
    database: Database, start: float, now: float, judge: str | None = None, service: str | None = None
) -> list[sqlite3.Row]:
    """Sum up the scores of the traces that were completed in (start, now], in Unix seconds.

    Args:
        judge, service: only these; None for all.

    Returns:
        Rows of judge, tier, service and the sums over their scores, in order of the three.
    """
    # Whole minutes come from their sums; single scores are read only before the first and after the last of them.
    parameters = split(start, now) | {"judge": judge, "service": service}
    return database.connection().execute(_SUM_UP, parameters).fetchall()


def prune(database: Database, older_than: float) -> None:
    """Delete the scores of the minutes before `older_than` (Unix seconds); MLflow keeps their assessments."""
    minute = minute_of(older_than)
    with database.transaction() as connection:
        connection.execute("DELETE FROM score WHERE completed_at < ?", (minute * MINUTE,))
        answers.prune(connection, minute * MINUTE)
        connection.execute("DELETE FROM score_minute WHERE minute < ?", (minute,))
        pairs.prune(connection, minute)
