"""Sums over scores by the minute, the hour and the day, from which estimates and their intervals are made.

They change in the transaction that changes a score: every scrape, page and alert rule reads its window anew, and an
hour may hold half a million scores. The hour's and the day's are also kept for each value of a slice, such as a
release.

The answers of a session are alike, so an interval rests on squares of sums over sessions, (Σwy)². Such a square is the
sum of the squares of its scores and of twice the products of their pairs. A pair is added at the later of its two
scores, so the sums of minutes, hours and days add up, also where a session goes on from one to the next. A window that
begins within a session takes the pairs back that reach out of it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qualitrace_collector.sample import SLICES
from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.interval import Moments

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
_SIZES = {"minute": 1, "hour": 60, "day": 24 * 60}

LINEAR = ("samples", "verdicts", "w", "passed_1", "not_failed_1", "value_1")
SQUARES = (
    "ww",
    "passed_w1",
    "passed_w2",
    "not_failed_w1",
    "not_failed_w2",
    "unsure_w2",
    "value_w1",
    "value_w2",
)
SLICED = ("version", *SLICES)
"""What else sums are kept by: the judge's version, and what the trace came from."""

SUMS = (*LINEAR, *SQUARES)
"""Columns of sums over scores of weight w = 1 / inclusion probability; `passed` and others are 0 or 1.

`passed_1` is Σwy; `passed_w1` is the sum over sessions of Σw Σwy, `passed_w2` that of (Σwy)², as `Moments` takes them.
"""

SESSION = ("session", "judge", "tier", "service", "session_began")
"""Columns of the scores that count as one session; `session_began` tells its parts apart where it is long."""


class Terms(NamedTuple):
    """Sums of w and of w times each quantity, over a score or several."""

    w: float
    passed: float
    not_failed: float
    unsure: float
    value: float


_W = "(1 / score.inclusion_probability)"
_SQL = {
    "w": _W,
    "passed": f"{_W} * (score.label = 'pass')",
    "not_failed": f"{_W} * (score.label != 'fail')",
    "unsure": f"{_W} * (score.label = 'unsure')",
    "value": f"{_W} * score.value",
}
"""The same of a score."""

_SUMMED = f"{', '.join(f'sum({name}) AS {name}' for name in SUMS)}, max(heaviest) AS heaviest"
_COLUMNS = (*SUMS, "heaviest")


def minutes(start: float, now: float) -> tuple[int, int]:
    """Return the first minute of a window (Unix seconds), and the one after its last."""
    return math.floor(start / MINUTE), math.floor(now / MINUTE) + 1


def sum_up(
    database: Database, start: float, now: float, judge: str | None = None, service: str | None = None
) -> list[dict[str, Any]]:
    """Sum up the scores of the traces that were completed from the minute of `start` to that of `now` (Unix seconds).

    Args:
        judge, service: only these; None for all.

    Returns:
        Judge, tier, service, the sums over their scores, and `heaviest`: what a score may weigh. In order of the three.
    """
    first, end = minutes(start, now)
    only, parameters = only_of(judge, service)
    query = _windowed(_COLUMNS, _SUMMED, first, end, only)
    return _without_outside(database, query, parameters, "''", first * MINUTE, end * MINUTE)


def sum_up_linear(database: Database, start: float, now: float, judge: str) -> list[dict[str, Any]]:
    """Sum up a judge's scores as `sum_up` does, without the squares, which take most of its time.

    Returns:
        Judge, tier, service and `LINEAR`.
    """
    summed = ", ".join(f"sum({name}) AS {name}" for name in LINEAR)
    only, parameters = only_of(judge, None)
    query = _windowed(LINEAR, summed, *minutes(start, now), only)
    return [dict(row) for row in database.connection().execute(query, parameters)]


def _windowed(columns: Sequence[str], summed: str, first: int, end: int, only: str) -> str:
    """Write the query of sums from one minute to before another."""
    names = ", ".join(("judge", "tier", "service", *columns))
    read = [
        f"SELECT {names} FROM {unsliced(unit, begin, until, only)}"
        for unit, begin, until in spans(first, end, ("minute", "hour", "day"))
    ]
    return f"""
        SELECT judge, tier, service, {summed} FROM ({" UNION ALL ".join(read)})
        GROUP BY judge, tier, service HAVING sum(samples) > 0.5 ORDER BY judge, tier, service"""


def spans(first: int, end: int, units: Sequence[str]) -> list[tuple[str, int, int]]:
    """Divide a time into spans of whole units, as many as possible of the largest one.

    Args:
        first, end: the first of the smallest units, and the one after the last.
        units: ascending, among `minute`, `hour` and `day`.

    Returns:
        A unit, its first and the one after its last, for each span; without empty ones.
    """
    (unit, *larger) = units
    if larger:
        size = _SIZES[larger[0]] // _SIZES[unit]
        head, tail = -(-first // size), end // size
        if head < tail:
            edges = ((unit, first, head * size), (unit, tail * size, end))
            return [*(edge for edge in edges if edge[1] < edge[2]), *spans(head, tail, larger)]
    return [(unit, first, end)]


def sum_up_slices(
    database: Database, by: str, start: float, now: float, judge: str | None = None, service: str | None = None
) -> list[dict[str, Any]]:
    """Sum up the scores as `sum_up` does, by the values of a slice, from the hour of `start` to that of `now`.

    Args:
        by: a column by which scores are counted: `version`, `model`, `release` ….

    Returns:
        The same as `sum_up`, with the slice's `sliced`, in order of judge, tier, service and it.
    """
    hour, last = math.floor(start / HOUR), math.floor(now / HOUR) + 1
    only, parameters = only_of(judge, service)
    parameters |= {"slice": by}
    read = [
        f"SELECT value, judge, tier, service, {', '.join(_COLUMNS)} FROM score_{unit} "
        f"WHERE slice = :slice AND {at} >= {begin} AND {at} < {until} {only}"
        for unit, begin, until in spans(hour, last, ("hour", "day"))
        for at in (_time_column(unit, only),)
    ]
    query = f"""
        SELECT judge, tier, service, value AS sliced, {_SUMMED} FROM ({" UNION ALL ".join(read)})
        GROUP BY judge, service, tier, value HAVING sum(samples) > 0.5"""
    return _without_outside(database, query, parameters, f"score.{by}", hour * HOUR, last * HOUR)


def moments(row: Mapping[str, Any], name: str) -> Moments:
    """Return the moments of a quantity, `passed`, `not_failed` or `value`, from a row of sums."""
    return Moments(
        weight=row["w"],
        squared_weight=row["ww"],
        first=row[f"{name}_1"],
        squared_first=row[f"{name}_w1"],
        squared_second=row[f"{name}_w2"],
        heaviest=row["heaviest"],
    )


def unsliced(unit: str, first: int, end: int, only: str) -> str:
    """Write the table and the condition of the sums over all traffic, of the units from `first` to before `end`.

    Of one service they are read by the primary key. SQLite, without statistics of the tables, would take the index by
    time and read those of all services.

    Args:
        only: what `only_of` wrote.
    """
    at = unit
    sliced = "" if unit == "minute" else "slice = '' AND value = '' AND "
    if _OF_SERVICE in only and unit == "hour":  # judge and tier stand before the hour in its key
        only += f" AND (judge, tier) IN (SELECT judge, tier FROM score_day WHERE slice = ''{_OF_SERVICE})"
    elif unit != "minute":
        at = _time_column(unit, only)
    return f"score_{unit} WHERE {sliced}{at} >= {first} AND {at} < {end}{only}"


_OF_SERVICE, _OF_JUDGE = " AND service = :service", " AND judge = :judge"
"""As `only_of` writes them."""


def _time_column(unit: str, only: str) -> str:
    """Write the column of the hour or day so that SQLite reads by the primary key where its first columns are given."""
    needed = _OF_SERVICE if unit == "day" else _OF_JUDGE + _OF_SERVICE
    return f"+{unit}" if needed in only else unit


def only_of(judge: str | None, service: str | None) -> tuple[str, dict[str, Any]]:
    """Write SQL, from the first AND on, that leaves one judge and one service, with its parameters; None for all."""
    wanted = {"judge": judge, "service": service}
    given = {name: value for name, value in wanted.items() if value is not None}
    return "".join(f" AND {name} = :{name}" for name in given), given


def _without_outside(
    database: Database, query: str, parameters: dict[str, Any], by: str, start: float, end: float
) -> list[dict[str, Any]]:
    """Run a query of sums, and take out the pairs that have a score before the window."""
    only, given = only_of(parameters.get("judge"), parameters.get("service"))
    connection = database.connection()
    rows = [dict(row) for row in connection.execute(query, parameters)]
    within = {"oldest": start - DAY, "start": start, "end": end, **given}
    outside = {
        (row["judge"], row["tier"], row["service"], row["sliced"]): row
        for row in connection.execute(_pairs(by, only), within)
    }
    for row in rows:
        if pairs := outside.get((row["judge"], row["tier"], row["service"], row.get("sliced", ""))):
            for name in SQUARES:
                row[name] -= pairs[name]
    return sorted(rows, key=lambda row: (row["judge"], row["tier"], row["service"], row.get("sliced", "")))


def _pairs(by: str, only: str) -> str:
    """Write the query of the pairs with one score before a time, and the other in the window that begins then."""
    session = ", ".join(f"score.{name} AS {name}" for name in SESSION)
    joined = " AND ".join(f"score.{name} = later.{name}" for name in SESSION)
    summed = ", ".join(f"sum({term}) AS {name}" for name, term in _SQL.items())
    products = {f"{name}_w2": f"2 * later.{name} * {term}" for name, term in _SQL.items() if name != "w"}
    products |= {
        f"{name}_w1": f"later.w * {_SQL[name]} + {_W} * later.{name}" for name in ("passed", "not_failed", "value")
    }
    products["ww"] = f"2 * later.w * {_W}"
    pairs = ", ".join(f"sum({product}) AS {name}" for name, product in products.items())
    return f"""
        WITH found AS MATERIALIZED (  -- from the index alone: of a day's scores few are in sessions that began before
            SELECT trace_id, judge, tier FROM score INDEXED BY score_session_began
            WHERE session_began >= :oldest AND session_began < :start
                  AND completed_at >= :start AND completed_at < :end),
        later AS (
            SELECT {session}, {by} AS sliced, {summed} FROM found CROSS JOIN score USING (trace_id, judge, tier)
            WHERE inclusion_probability > 0 {only}
            GROUP BY {", ".join(f"score.{name}" for name in SESSION)}, sliced)
        SELECT later.judge, later.tier, later.service, later.sliced, {pairs}
        FROM later CROSS JOIN score INDEXED BY score_session ON {joined} AND {by} = later.sliced
        WHERE score.completed_at < :start AND score.inclusion_probability > 0
        GROUP BY later.judge, later.tier, later.service, later.sliced"""
