"""How many requests a service had over time, with errors, durations and costs: all of them, judged or not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_collector.state import Database
from qualitrace_collector.state.requests import FINE_SECONDS, HOUR, MINUTE, duration_percentile
from qualitrace_collector.state.schema import DURATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSeries:
    """Requests in steps: those that had some.

    Attributes:
        step: seconds.
        at: when each step begins, Unix seconds, ascending.
        errors: share of the requests, 0 to 1.
        p95_seconds: None where no request says how long it took.
        usd: as far as prices are known.
    """

    step: float
    at: Sequence[float]
    requests: Sequence[int]
    errors: Sequence[float]
    p95_seconds: Sequence[float | None]
    usd: Sequence[float]


def traffic(database: Database, service: str, start: float, end: float, now: float, step: float) -> TrafficSeries:
    """Return the requests of a service between two times (Unix seconds).

    Args:
        step: seconds, whole minutes; an hour at least where the sums are of hours by `now`.
    """
    if start < now - FINE_SECONDS:
        step = max(step, HOUR)
    every = round(step / MINUTE)
    summed = ", ".join(f"sum({name}) AS {name}" for name in ("requests", "errors", "usd", *DURATIONS))
    query = f"""
        SELECT minute / {every} AS place, {summed}
        FROM request_minute WHERE minute >= ? AND minute <= ? AND service = ? GROUP BY place HAVING sum(requests) > 0"""
    first = math.floor(start / step) * every
    rows = database.rows(query, (first, math.floor(end / MINUTE), service))
    return TrafficSeries(
        step=step,
        at=[row["place"] * step for row in rows],
        requests=[row["requests"] for row in rows],
        errors=[min(1.0, row["errors"] / row["requests"]) for row in rows],
        p95_seconds=[duration_percentile([row[name] for name in DURATIONS], 0.95) for row in rows],
        usd=[row["usd"] for row in rows],
    )
