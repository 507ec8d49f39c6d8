"""The score table of the state database: one row per (trace, judge, tier), of the newest version and content."""

import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qualitrace_collector.sample import SLICES
from qualitrace_collector.state import Database, Opinions
from qualitrace_monitors.answers import texts
from qualitrace_monitors.estimate import distribution, pairs, sequence
from qualitrace_monitors.estimate.counting import count, session_began
from qualitrace_monitors.estimate.sums import DAY, HOUR, SESSION, SLICED

KEEP_SECONDS = 30 * 86_400.0
"""How long a score is kept at least: the period of a quality objective, and of the alerts' promise."""

MAX_RATIONALE = 400
"""Characters of a rationale that are kept: what pages and notifications show. MLflow's assessment has all of it."""

SLICE_VALUES = 50
"""Values of a slice that a service may have within that time; the others count as `other`."""

OTHER = "other"

FIRST = ("version", "service", "value", "label", "scored_at", "session", "cascade", *SLICES)
"""What is kept of a trace's first verdict when it is judged again: what alerts have bet on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """A score with its origin.

    Attributes:
        inclusion_probability: 0 leaves the score out of estimates, but not out of the pages: its trace was picked
            after the fact, or held other content.
        completed_at, scored_at: Unix seconds.
        least_probability: the least inclusion probability that a trace had at that time, by the rate alone.
        session, route, release, environment, retriever: the sample's, see its metadata; empty where it has none.
        weight: for alerts, relative, see `JudgeTask`; 0 if they leave the score out.
        first: JSON of `FIRST`, of the verdict that alerts have bet on; empty if that is this one.
        cascade: how the verdict of a cascade's first stage went on, see `Escalation`; empty elsewhere.
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
    least_probability: float = 1.0
    session: str = ""
    route: str = ""
    release: str = ""
    environment: str = ""
    retriever: str = ""
    weight: float = 0.0
    first: str = ""
    cascade: str = ""

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
        key = (self.trace_id, self.judge, self.tier)
        _count(connection, -1, *key)
        kept = replace(
            self, rationale=_shortened(self.rationale), **_bounded(connection, self), **_first_bet(connection, self)
        )
        values = {name: getattr(kept, name) for name in self.__slots__}
        values["session_began"] = None
        if self.session:
            session = (self.session, self.judge, self.tier, self.service)
            values["session_began"] = session_began(connection, session, self.completed_at)
        places = ", ".join(f":{name}" for name in values)
        connection.execute(f"INSERT OR REPLACE INTO score ({', '.join(values)}) VALUES ({places})", values)
        _count(connection, 1, *key)


def _count(connection: sqlite3.Connection, sign: int, trace_id: str, judge: str, tier: str | None = None) -> None:
    """Add a trace's scores to all sums, see `counting.count`."""
    count(connection, sign, trace_id, judge, tier)
    pairs.count(connection, sign, trace_id, judge)


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


def _bounded(connection: sqlite3.Connection, row: ScoreRow) -> dict[str, str]:
    """Return the row's values of slices, which a client may make up without end."""
    return {name: _value(connection, row, name, text) for name in SLICES if (text := getattr(row, name))}


def _value(connection: sqlite3.Connection, row: ScoreRow, name: str, text: str) -> str:
    key, hour = (row.service, name), math.floor(row.completed_at / HOUR)
    query = "SELECT seen_hour FROM slice_value WHERE service = ? AND slice = ? AND value = ?"
    seen = connection.execute(query, (*key, text)).fetchone()
    if seen is None:
        query = "SELECT count(*) FROM slice_value WHERE service = ? AND slice = ?"
        if connection.execute(query, key).fetchone()[0] >= SLICE_VALUES:
            return OTHER
    if seen is None or seen["seen_hour"] < hour:
        connection.execute("INSERT OR REPLACE INTO slice_value VALUES (?, ?, ?, ?)", (*key, text, hour))
    return text


def assessment_ids(database: Database, trace_ids: Sequence[str]) -> dict[tuple[str, str, str], str]:
    """Return the ids of the traces' assessments in MLflow, by trace id, judge and tier."""
    query = "SELECT trace_id, judge, tier, assessment_id FROM score WHERE trace_id IN (SELECT value FROM json_each(?))"
    rows = database.rows(query, (json.dumps(trace_ids),))
    return {(row["trace_id"], row["judge"], row["tier"]): row["assessment_id"] for row in rows}


def prune(database: Database, older_than: float) -> None:
    """Delete the scores of the days before `older_than` (Unix seconds), and what belongs to the hours before it.

    MLflow keeps their assessments.
    """
    start = math.floor(older_than / DAY) * DAY  # by the day: the sums of a day are those of all its scores
    query = "SELECT min(completed_at) FROM score WHERE completed_at < ?"
    while (oldest := database.rows(query, (start,))[0][0]) is not None:
        _prune_hours(database, min(start, (math.floor(oldest / HOUR) + 1) * HOUR))
    hour = math.floor(older_than / HOUR)
    with database.transaction() as connection:
        for name in ("", *SLICED):
            connection.execute("DELETE FROM score_day WHERE slice = ? AND day < ?", (name, math.floor(start / DAY)))
        connection.execute("DELETE FROM slice_value WHERE seen_hour < ?", (hour,))
        sequence.prune(connection, hour)
        texts.prune(connection, hour * HOUR)
        connection.execute("DELETE FROM expert_label WHERE labelled_at < ?", (hour * HOUR,))
        Opinions.prune(connection, hour * HOUR)


def _prune_hours(database: Database, start: float) -> None:
    """Delete the scores before an hour's `start`, with the sums of their hours: so many that others need not wait."""
    hour = math.floor(start / HOUR)
    joined = " AND ".join(f"score.{name} = later.{name}" for name in SESSION)
    with database.transaction() as connection:
        # Where a session goes on, its pairs with deleted scores are taken out of the sums that stay.
        going_on = connection.execute(
            f"""SELECT DISTINCT score.trace_id, score.judge, score.tier
            FROM score AS later CROSS JOIN score ON {joined}
            WHERE later.session_began >= ? AND later.session_began < ? AND later.completed_at >= ?
                  AND score.completed_at < ?""",
            (start - DAY, start, start, start),
        ).fetchall()
        for key in going_on:
            _count(connection, -1, *key)
            connection.execute("DELETE FROM score WHERE trace_id = ? AND judge = ? AND tier = ?", tuple(key))
        connection.execute("DELETE FROM score WHERE completed_at < ?", (start,))
        connection.execute("DELETE FROM score_minute WHERE minute < ?", (hour * 60,))
        for name in ("", *SLICED):
            connection.execute("DELETE FROM score_hour WHERE slice = ? AND hour < ?", (name, hour))
        distribution.prune(connection, hour)
        pairs.prune(connection, hour)
