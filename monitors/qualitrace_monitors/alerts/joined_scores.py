"""From the scores of a cascade to bets that rest on both of its judges: one for each trace that the local judge scored.

    ψ = g + (I / π) · (y - g)       y: the model's verdict; I: whether it was asked, which had the probability π

g guesses y from the local verdict, by what the model said of earlier traces like it. However bad a guess is, the mean
of ψ is that of y, so the detectors' promise is one about the model's verdicts. A good one makes ψ vary less.

Traces bet in the order in which the local judge scored them. Behind one that waits for the model all wait: those that
the model is not asked about have a guess alone, and a row of guesses would say what the local judge says. So while the
model does not answer, nothing fires and nothing resolves. A trace that it never answers counts for the service where a
fall is looked for, and against it where a recovery is.
"""

import logging
import sqlite3
from dataclasses import dataclass
from typing import NamedTuple

from qualitrace_monitors.alerts.guesses import Guesses, answers_of
from qualitrace_monitors.estimate.estimator import JOINED
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import Escalation

CLIPPED = 0.3
"""The least guess where a fall is looked for; where a recovery is, 1 less this is the most. It bounds ψ."""

OVERTAKEN_SECONDS = 900.0
"""A trace is given up when the model has answered a later one for so long."""

HELD_SECONDS = 90_000.0
"""A trace is given up after so long in any case: its judgement has expired after a day."""

MOST_HELD = 100_000
"""Traces that wait, at most: a day's at one a second, and some 30 MB. Those that come then do not bet."""

_log = logging.getLogger(__name__)


class Means(NamedTuple):
    """What a bet is on. What neither passed nor failed is unsure."""

    value: float
    passed: float
    failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreToBet:
    """A score that bets.

    Attributes:
        row: of its table, with the columns that all such tables have.
        high: where a fall is looked for; `low`, where a recovery is.
        least, most: between which `high` is. `low` is between 1 - most and 1 - least.
    """

    row: sqlite3.Row
    high: Means
    low: Means
    least: float
    most: float


def put(connection: sqlite3.Connection, row: ScoreRow, slices: str, then: Escalation) -> None:
    """Note a trace's first local verdict in a cascade, in the caller's transaction.

    Args:
        slices: see `new_scores.Bet`, as JSON.
    """
    probability = then.probability(unsure=row.label == "unsure")
    if probability <= 0:
        return
    values = {
        "trace_id": row.trace_id,
        "judge": row.judge,
        "tier": JOINED,
        "version": f"{row.version} {then.version} {then.audit_rate:g}",
        "model_version": then.version,
        "service": row.service,
        "session": row.session,
        "slices": slices,
        "weight": row.weight,
        "value": row.value,
        "label": row.label,
        "probability": probability,
        "least_probability": then.audit_rate,
        "picked": (picked := then.picks(row.trace_id, probability)),
        "waits": picked,
        "scored_at": row.scored_at,
    }
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(f"INSERT INTO joined_score ({', '.join(values)}) VALUES ({marks})", values)


def answer(connection: sqlite3.Connection, trace_id: str, judge: str, row: ScoreRow | None, now: float) -> None:
    """Note the model's verdict, or with None that it gives none, in the caller's transaction; `now` in Unix seconds."""
    found = (None, None, "") if row is None else (row.value, row.label, row.version)
    connection.execute(
        "UPDATE joined_score SET waits = 0, answered_at = ?4, "
        # Another model's verdict is none of this one.
        "model_value = CASE model_version WHEN ?3 THEN ?1 END, model_label = CASE model_version WHEN ?3 THEN ?2 END "
        "WHERE trace_id = ?5 AND judge = ?6 AND waits",
        (*found, now, trace_id, judge),
    )


def take(connection: sqlite3.Connection, now: float, limit: int) -> list[ScoreToBet]:
    """Take the traces that bet now, in order and in the caller's transaction; `now` in Unix seconds."""
    _give_up(connection, now)
    rows = connection.execute(
        "SELECT s.* FROM joined_score AS s LEFT JOIN (SELECT judge, service, min(sequence) AS first "
        "FROM joined_score WHERE waits GROUP BY judge, service) USING (judge, service) "
        "WHERE first IS NULL OR sequence < first ORDER BY sequence LIMIT ?",
        (limit,),
    ).fetchall()
    guesses = Guesses(connection)
    found = [_joined(row, guesses) for row in rows]
    guesses.save()
    connection.executemany("DELETE FROM joined_score WHERE sequence = ?", [(row["sequence"],) for row in rows])
    return found


def _give_up(connection: sqlite3.Connection, now: float) -> None:
    """Let no trace wait for an answer that will not come, nor too many traces for those that may."""
    connection.execute("UPDATE joined_score SET waits = 0 WHERE waits AND scored_at < ?", (now - HELD_SECONDS,))
    overtaken = connection.execute(
        "SELECT judge, max(sequence) AS last FROM joined_score WHERE model_label IS NOT NULL AND answered_at < ? "
        "GROUP BY judge",
        (now - OVERTAKEN_SECONDS,),
    ).fetchall()
    for row in overtaken:
        connection.execute(
            "UPDATE joined_score SET waits = 0 WHERE waits AND judge = ? AND sequence < ?", (row["judge"], row["last"])
        )
    dropped = connection.execute(
        "DELETE FROM joined_score WHERE sequence > (SELECT sequence FROM joined_score ORDER BY sequence LIMIT 1 "
        "OFFSET ?)",
        (MOST_HELD - 1,),
    ).rowcount
    if dropped:
        _log.warning("%d scores are left out of alerts: %d wait for the models of cascades", dropped, MOST_HELD)


def _joined(row: sqlite3.Row, guesses: Guesses) -> ScoreToBet:
    guess = guesses.guess(row)
    found = None if row["model_label"] is None else answers_of(row["model_value"], row["model_label"])
    share = row["picked"] / row["probability"]

    def means(lowest: float, highest: float, missing: float) -> Means:
        clipped = (min(highest, max(lowest, each)) for each in guess)
        answers = found or (missing,) * 3
        value, passed, not_failed = (g + share * (y - g) for g, y in zip(clipped, answers, strict=True))
        return Means(value, passed, 1 - not_failed)

    high, low = means(CLIPPED, 1.0, 1.0), means(0.0, 1 - CLIPPED, 0.0)
    if found:  # after the bet, which must not know it
        guesses.learn(row, found)
    reach = 1 / row["least_probability"]
    return ScoreToBet(row=row, high=high, low=low, least=1 - reach, most=CLIPPED + (1 - CLIPPED) * reach)
