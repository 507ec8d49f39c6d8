"""From scores to bets: one for each score, or for each session of a user where the application names it.

The answers of a session are alike. Betting on each would count the same evidence again and again, and break the promise
of a rule. So a session bets once: its mean, when it has been silent for a while, or is full.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qualitrace_monitors.estimate.scores import SLICES, ScoreRow

SESSION_SCORES, SESSION_SECONDS = 20, 3600.0
"""A session bets after so many scores, or so long a time: an incident must not wait for its end."""

AT_ONCE = 5_000
"""Scores, and sessions, that are taken in one transaction."""

_SESSION = "judge, tier, version, service, session"

_SHARED = """CASE slices WHEN excluded.slices THEN slices ELSE (
    SELECT json_group_object(key, value) FROM json_each(slices)
    WHERE value = json_extract(excluded.slices, '$.' || key)) END"""
"""What a session's answers and the next one have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bet:
    """What the rules of a judge bet on.

    Attributes:
        weight: relative, above 0 and at most 1.
        value, passed, failed: weighted means, 0 to 1. What neither passed nor failed is unsure.
        at: when it was scored, Unix seconds.
        of_session: it is the mean of a session.
        slices: model, release and so on, by the names of the score's columns: those that are known, and the same for
            all answers of the session.
    """

    judge: str
    tier: str
    version: str
    service: str
    weight: float
    value: float
    passed: float
    failed: float
    at: float
    of_session: bool = False
    slices: Mapping[str, str] = field(default_factory=dict[str, str])


def put(connection: sqlite3.Connection, row: ScoreRow, weight: float) -> None:
    """Note a trace's first score by a judge for the rules, in the caller's transaction.

    Args:
        weight: relative, see `JudgeTask`; a score without one is left out.
    """
    if weight > 0:
        connection.execute(
            "INSERT INTO new_score (judge, tier, version, service, session, value, label, weight, scored_at, slices) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.judge,
                row.tier,
                row.version,
                row.service,
                row.session,
                row.value,
                row.label,
                min(1.0, weight),
                row.scored_at,
                json.dumps({name: value for name in SLICES if (value := getattr(row, name))}),
            ),
        )


def take_bets(connection: sqlite3.Connection, now: float, silence: float) -> tuple[list[Bet], bool]:
    """Take what has come, in the caller's transaction: single scores, and sessions that are over.

    Args:
        now: Unix seconds.
        silence: seconds after which a session is over.

    Returns:
        the bets, and whether there may be more to take.
    """
    rows = connection.execute("SELECT * FROM new_score ORDER BY sequence LIMIT ?", (AT_ONCE,)).fetchall()
    if rows:
        connection.execute("DELETE FROM new_score WHERE sequence <= ?", (rows[-1]["sequence"],))
    bets: list[Bet] = []
    for row in rows:
        if row["session"]:
            bets += _into_session(connection, row)
        else:
            bets.append(_single(row))
    ended = _ended(connection, now, silence)
    return [*bets, *ended], max(len(rows), len(ended)) >= AT_ONCE


def _single(row: sqlite3.Row) -> Bet:
    return Bet(
        judge=row["judge"],
        tier=row["tier"],
        version=row["version"],
        service=row["service"],
        weight=row["weight"],
        value=row["value"],
        passed=float(row["label"] == "pass"),
        failed=float(row["label"] == "fail"),
        at=row["scored_at"],
        slices=json.loads(row["slices"]),
    )


def _into_session(connection: sqlite3.Connection, row: sqlite3.Row) -> Iterable[Bet]:
    """Add a score to its session; return the session's bet if it is full now."""
    weight = row["weight"]
    values = {name: row[name] for name in ("judge", "tier", "version", "service", "session", "weight", "slices")}
    values |= {"value": weight * row["value"], "passed": weight * (row["label"] == "pass"), "now": row["scored_at"]}
    values["failed"] = weight * (row["label"] == "fail")
    full = connection.execute(
        f"INSERT INTO open_session ({_SESSION}, scores, weight, value, passed, failed, began_at, last_at, slices) "
        "VALUES (:judge, :tier, :version, :service, :session, 1, :weight, :value, :passed, :failed, :now, :now, "
        ":slices) "
        "ON CONFLICT DO UPDATE SET scores = scores + 1, weight = weight + excluded.weight, "
        "value = value + excluded.value, passed = passed + excluded.passed, failed = failed + excluded.failed, "
        f"last_at = excluded.last_at, slices = {_SHARED} RETURNING *",
        values,
    ).fetchone()
    if full["scores"] < SESSION_SCORES:
        return ()
    return _closed(connection, [full])


def _ended(connection: sqlite3.Connection, now: float, silence: float) -> list[Bet]:
    # A clock that was set back would keep a session open: what began after now has ended, too.
    rows = connection.execute(
        "SELECT * FROM open_session WHERE last_at <= :silent OR last_at > :now OR began_at <= :long "
        f"ORDER BY last_at, {_SESSION} LIMIT :most",
        {"silent": now - silence, "long": now - SESSION_SECONDS, "now": now, "most": AT_ONCE},
    ).fetchall()
    return _closed(connection, rows)


def _closed(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row]) -> list[Bet]:
    bets: list[Bet] = []
    for row in rows:
        marks = " AND ".join(f"{name} = ?" for name in _SESSION.split(", "))
        connection.execute(f"DELETE FROM open_session WHERE {marks}", tuple(row)[:5])
        total = row["weight"]
        bets.append(
            Bet(
                judge=row["judge"],
                tier=row["tier"],
                version=row["version"],
                service=row["service"],
                weight=total / row["scores"],
                value=row["value"] / total,
                passed=row["passed"] / total,
                failed=row["failed"] / total,
                at=row["last_at"],
                of_session=row["scores"] > 1,
                slices=json.loads(row["slices"]),
            )
        )
    return bets
