"""How the values of scores are spread: sums of weights by bins of equal width from 0 to 1, kept by the hour."""

import math
import sqlite3

from qualitrace_collector.state import Database
from qualitrace_collector.state.schema import BINS
from qualitrace_monitors.estimate.sums import HOUR

_NAMES = [f"bin_{number}" for number in range(BINS)]
_ADD = [
    f"INSERT INTO score_bin (judge, service, tier, hour, {name}) VALUES (?, ?, ?, ?, ?) "
    f"ON CONFLICT DO UPDATE SET {name} = {name} + excluded.{name}"
    for name in _NAMES
]


def add(connection: sqlite3.Connection, score: sqlite3.Row, weight: float) -> None:
    """Add a score with a weight, negative to take it out again; in the caller's transaction."""
    number = min(BINS - 1, int(score["value"] * BINS))  # 1 is in the last one
    hour = math.floor(score["completed_at"] / HOUR)
    connection.execute(_ADD[number], (score["judge"], score["service"], score["tier"], hour, weight))


def distribution(database: Database, judge: str, service: str, tier: str, start: float, now: float) -> list[float]:
    """Return the weighted share of each bin, from the hour of `start` to that of `now` (Unix seconds).

    Returns:
        `BINS` shares in ascending order of the values, which add up to 1; nothing without scores.
    """
    sums = ", ".join(f"sum({name})" for name in _NAMES)
    query = f"SELECT {sums} FROM score_bin WHERE judge = ? AND service = ? AND tier = ? AND hour >= ? AND hour <= ?"
    key = judge, service, tier, math.floor(start / HOUR), math.floor(now / HOUR)
    weights = [max(0.0, weight or 0.0) for weight in database.rows(query, key)[0]]
    total = sum(weights)
    return [weight / total for weight in weights] if total > 0 else []


def prune(connection: sqlite3.Connection, before: int) -> None:
    """Delete the sums of the hours before one of them, in the caller's transaction."""
    connection.execute("DELETE FROM score_bin WHERE hour < ?", (before,))
