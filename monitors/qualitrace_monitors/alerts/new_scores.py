"""From scores to bets: one for each score, or for each session of a user where the application names it.

The answers of a session are alike. Betting on each would count the same evidence again and again, and break the promise
of a rule. So a session bets once: its mean, when it has been silent for a while, or is full.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from qualitrace_collector.pipeline.match import Find, Match
from qualitrace_monitors.estimate.scores import SLICES, ScoreRow

SESSION_SCORES, SESSION_SECONDS = 20, 3600.0
"""A session bets after so many scores, or so long a time: an incident must not wait for its end."""

AT_ONCE = 5_000
"""Scores, and sessions, that are taken in one transaction."""

_SESSION = "judge, tier, version, service, session"
_THIS_SESSION = " AND ".join(f"{name} = :{name}" for name in _SESSION.split(", "))

_SUMS = ("scores", "weight", "value", "passed", "failed")
"""What is kept of a part of a session; the last three are weighted."""


class Part(NamedTuple):
    """Answers of a session that are of the same model, release and so on.

    Attributes:
        weight, value, passed, failed: sums; the last three are weighted.
    """

    slices: Mapping[str, str]
    scores: int
    weight: float
    value: float
    passed: float
    failed: float


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
        parts: what the session consists of, if it has answers of more than one kind.
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
    parts: Sequence[Part] = ()

    def of(self, match: Match | None) -> "Bet | None":
        """Return the bet without the answers that do not match; None if none does."""
        if match is None:
            return self
        if not self.parts:
            return self if match.holds(self._find(self.slices)) else None
        parts = [part for part in self.parts if match.holds(self._find(part.slices))]
        return replace(self, **_merged(parts)) if parts else None

    def _find(self, slices: Mapping[str, str]) -> Find:
        return {**slices, "service": self.service}.get


def _merged(parts: Sequence[Part]) -> dict[str, Any]:
    """Return what a bet says of these parts of a session."""
    total, scores = sum(part.weight for part in parts), sum(part.scores for part in parts)
    shared = set.intersection(*({*part.slices.items()} for part in parts))
    return {
        "weight": total / scores,
        "value": sum(part.value for part in parts) / total,
        "passed": sum(part.passed for part in parts) / total,
        "failed": sum(part.failed for part in parts) / total,
        "of_session": scores > 1,
        "slices": dict(sorted(shared)),
        "parts": tuple(parts) if len(parts) > 1 else (),
    }


def put(connection: sqlite3.Connection, row: ScoreRow) -> None:
    """Note a trace's first score by a judge for the rules, if it has a weight, in the caller's transaction."""
    if row.weight > 0:
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
                row.weight,
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
    connection.execute(
        f"INSERT INTO open_session ({_SESSION}, scores, weight, value, passed, failed, began_at, last_at, slices) "
        "VALUES (:judge, :tier, :version, :service, :session, 1, :weight, :value, :passed, :failed, :now, :now, "
        ":slices) "
        "ON CONFLICT DO UPDATE SET scores = scores + 1, weight = weight + excluded.weight, "
        "value = value + excluded.value, passed = passed + excluded.passed, failed = failed + excluded.failed, "
        "last_at = excluded.last_at",
        values,
    )
    scores = f"SELECT sum(scores) FROM open_session WHERE {_THIS_SESSION}"
    if connection.execute(scores, values).fetchone()[0] < SESSION_SCORES:
        return ()
    return [_closed(connection, values | {"at": row["scored_at"]})]


def _ended(connection: sqlite3.Connection, now: float, silence: float) -> list[Bet]:
    # A clock that was set back would keep a session open: what began after now has ended, too.
    rows = connection.execute(
        f"SELECT {_SESSION}, max(last_at) AS at FROM open_session GROUP BY {_SESSION} "
        "HAVING at <= :silent OR at > :now OR min(began_at) <= :long "
        f"ORDER BY at, {_SESSION} LIMIT :most",
        {"silent": now - silence, "long": now - SESSION_SECONDS, "now": now, "most": AT_ONCE},
    ).fetchall()
    return [_closed(connection, dict(row)) for row in rows]


def _closed(connection: sqlite3.Connection, session: Mapping[str, Any]) -> Bet:
    """Return the bet of a session whose last score came `at`, and forget the session."""
    rows = connection.execute(
        f"SELECT slices, {', '.join(_SUMS)} FROM open_session WHERE {_THIS_SESSION} ORDER BY slices", session
    ).fetchall()
    connection.execute(f"DELETE FROM open_session WHERE {_THIS_SESSION}", session)
    parts = [Part(json.loads(row["slices"]), *(row[name] for name in _SUMS)) for row in rows]
    return Bet(
        judge=session["judge"],
        tier=session["tier"],
        version=session["version"],
        service=session["service"],
        at=session["at"],
        **_merged(parts),
    )
