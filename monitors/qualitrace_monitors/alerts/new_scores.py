"""From scores to bets: one for each score, or for each session of a user where the application names it.

The answers of a session are alike. Betting on each would count the same evidence again and again, and break the promise
of a rule. So a session bets once: its mean, when it has been silent for a while, or is full.

The scores of each tier bet, and those of a cascade together (`joined_scores`).
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from qualitrace_collector.pipeline.match import Find, Match
from qualitrace_collector.sample import SLICES
from qualitrace_collector.state.requests import seen
from qualitrace_monitors.alerts import joined_scores
from qualitrace_monitors.alerts.joined_scores import Means, ScoreToBet
from qualitrace_monitors.estimate import sequence
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import Escalation

SESSION_SCORES, SESSION_SECONDS = 20, 3600.0
"""A session bets after this many scores, or this long: an incident must not wait for its end."""

AT_ONCE = 5_000
"""Scores, and sessions, that are taken in one transaction."""

_SESSION = "judge, tier, version, service, session"
_THIS_SESSION = " AND ".join(f"{name} = :{name}" for name in _SESSION.split(", "))

_SAME_SESSION = " AND ".join(f"waiting.{name} = open_session.{name}" for name in _SESSION.split(", "))

_OF_SCORE = ("judge", "tier", "version", "service", "session", "value", "label", "weight", "scored_at")

_MEANS = (*Means._fields, *(f"low_{name}" for name in Means._fields))
_SUMS = ("scores", "weight", *_MEANS)
"""What is kept of a part of a session; the means are weighted."""


class Part(NamedTuple):
    """Answers of a session that are of the same model, release and so on.

    Attributes:
        weight, high, low: sums; the last two are weighted.
    """

    slices: Mapping[str, str]
    scores: int
    weight: float
    high: Means
    low: Means


@dataclass(frozen=True, slots=True, kw_only=True)
class Bet:
    """What the rules of a judge bet on.

    Attributes:
        weight: relative, above 0 and at most 1.
        value, passed, failed: weighted means, 0 to 1. What neither passed nor failed is unsure.
        low: the same where a high mean is to be shown; None where it does not differ. What the model of a cascade has
            not said counts as good in the one and as bad in the other.
        least, most: between which the means are; of `low` between 1 - most and 1 - least.
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
    low: Means | None = None
    least: float = 0.0
    most: float = 1.0
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
        **_mean([part.high for part in parts], total)._asdict(),
        "low": _mean([part.low for part in parts], total),
        "of_session": scores > 1,
        "slices": dict(sorted(shared)),
        "parts": tuple(parts) if len(parts) > 1 else (),
    }


def _mean(sums: Sequence[Means], weight: float) -> Means:
    return Means(*(sum(each) / weight for each in zip(*sums, strict=True)))


def put(connection: sqlite3.Connection, row: ScoreRow, then: Escalation | None = None) -> None:
    """Note a trace's first score by a judge for the rules, if it has a weight, in the caller's transaction.

    Args:
        then: of the first stage of a cascade: where some of its verdicts go on to.
    """
    seen(connection, [(row.judge, row.tier, row.service)], row.scored_at)
    if row.weight <= 0:
        return
    slices = json.dumps({name: value for name in SLICES if (value := getattr(row, name))})
    if then is not None:
        joined_scores.put(connection, row, slices, then)
    values = {name: getattr(row, name) for name in _OF_SCORE} | {"slices": slices}
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT INTO new_score ({', '.join(values)}) VALUES ({marks})", values)


def are_waiting(connection: sqlite3.Connection) -> bool:
    """Whether bets will come without another score."""
    query = "SELECT EXISTS (SELECT 1 FROM open_session) OR EXISTS (SELECT 1 FROM joined_score)"
    return bool(connection.execute(query).fetchone()[0])


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
    joined = joined_scores.take(connection, now, AT_ONCE)
    bets: list[Bet] = []
    for score in (*map(_of_tier, rows), *joined):
        if score.row["session"]:
            bets += _into_session(connection, score)
        else:
            bets.append(_single(score))
    ended = _ended(connection, now, silence)
    for bet in (*bets, *ended):
        key = (bet.judge, bet.tier, bet.version, bet.service, bet.slices.get("release", ""))
        sequence.add(connection, key, bet.at, bet.weight, bet.passed, bet.failed, bet.value)
    return [*bets, *ended], max(len(rows), len(joined), len(ended)) >= AT_ONCE


def _of_tier(row: sqlite3.Row) -> ScoreToBet:
    means = Means(row["value"], float(row["label"] == "pass"), float(row["label"] == "fail"))
    return ScoreToBet(row=row, high=means, low=means, least=0.0, most=1.0)


def _single(score: ScoreToBet) -> Bet:
    row = score.row
    return Bet(
        judge=row["judge"],
        tier=row["tier"],
        version=row["version"],
        service=row["service"],
        weight=row["weight"],
        **score.high._asdict(),
        low=score.low,
        least=score.least,
        most=score.most,
        at=row["scored_at"],
        slices=json.loads(row["slices"]),
    )


def _into_session(connection: sqlite3.Connection, score: ScoreToBet) -> Iterable[Bet]:
    """Add a score to its session; return the session's bet if it is full now."""
    row = score.row
    columns = ("judge", "tier", "version", "service", "session", "weight", "slices")
    values: dict[str, Any] = {name: row[name] for name in columns} | {"least": score.least, "most": score.most}
    values |= {name: row["weight"] * mean for name, mean in zip(_MEANS, (*score.high, *score.low), strict=True)}
    values |= {"scores": 1, "began_at": row["scored_at"], "last_at": row["scored_at"]}
    connection.execute(
        f"INSERT INTO open_session ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)}) "
        f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _SUMS)}, "
        "last_at = excluded.last_at",
        values,
    )
    scores = f"SELECT sum(scores) FROM open_session WHERE {_THIS_SESSION}"
    if connection.execute(scores, values).fetchone()[0] < SESSION_SCORES:
        return ()
    return [_closed(connection, values | {"at": row["scored_at"]})]


def _ended(connection: sqlite3.Connection, now: float, silence: float) -> list[Bet]:
    # A clock that was set back would keep a session open: what began after now has ended, too. A session of which a
    # trace still waits for a cascade's model has not.
    rows = connection.execute(
        f"SELECT {_SESSION}, least, most, max(last_at) AS at FROM open_session GROUP BY {_SESSION} "
        "HAVING (at <= :silent OR at > :now OR min(began_at) <= :long) AND NOT EXISTS ("
        f"SELECT 1 FROM joined_score AS waiting WHERE {_SAME_SESSION}) "
        f"ORDER BY at, {_SESSION} LIMIT :limit",
        {"silent": now - silence, "long": now - SESSION_SECONDS, "now": now, "limit": AT_ONCE},
    ).fetchall()
    return [_closed(connection, dict(row)) for row in rows]


def _closed(connection: sqlite3.Connection, session: Mapping[str, Any]) -> Bet:
    """Return the bet of a session whose last score came `at`, and forget the session."""
    rows = connection.execute(
        f"SELECT slices, {', '.join(_SUMS)} FROM open_session WHERE {_THIS_SESSION} ORDER BY slices", session
    ).fetchall()
    connection.execute(f"DELETE FROM open_session WHERE {_THIS_SESSION}", session)
    return Bet(
        **{name: session[name] for name in ("judge", "tier", "version", "service", "least", "most", "at")},
        **_merged([_part(row) for row in rows]),
    )


def _part(row: sqlite3.Row) -> Part:
    high, low = (Means(*(row[f"{prefix}{name}"] for name in Means._fields)) for prefix in ("", "low_"))
    return Part(json.loads(row["slices"]), row["scores"], row["weight"], high, low)
