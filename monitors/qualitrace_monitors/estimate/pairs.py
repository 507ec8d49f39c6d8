"""Sums over the traces of a cascade that both the local judge and the model scored, kept by the minute and the hour.

They are what the joined estimate needs beside the sums of the tiers (`score_minute`), and change with them, in the
transaction that changes a score.
"""

import sqlite3
from collections.abc import Mapping
from functools import cache

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.sums import HOUR, MINUTE, minutes, only_of, spans

Sums = Mapping[str, float]
"""Sums over pairs, by `column`; `samples` and `verdicts` count them, and those in which the model is not unsure."""

_VALUES = {
    "passed": "(m.label = 'pass')",
    "not_failed": "(m.label != 'fail')",
    "value": "m.value",
    "local_passed": "(l.label = 'pass')",
    "local_not_failed": "(l.label != 'fail')",
    "local_value": "l.value",
}
_OF_MODEL = tuple(_VALUES)[:3]

PREDICTORS = {
    "passed": ("local_passed", "local_value"),
    "not_failed": ("local_not_failed", "local_value"),
    "value": ("local_value",),
}
"""What of the local score may predict which quantity of the model's."""

_PICKED = "min(1.0, m.inclusion_probability / l.inclusion_probability)"  # by the local judge, for the model
_SQUARED = "1 / m.inclusion_probability / m.inclusion_probability"
_WEIGHTS = {"w": "1 / m.inclusion_probability", "a": f"(1 - {_PICKED}) * {_SQUARED}", "b": f"{_PICKED} * {_SQUARED}"}
"""The weight, and the two parts of its square: of how the model's traces were picked, and the local judge's before."""

_SQUARES = [("value", "value"), ("local_value", "local_value")]
_PRODUCTS: dict[str, list[tuple[str, ...]]] = {
    "w": [(), *((name,) for name in _VALUES), _SQUARES[0]],
    "a": [
        (),
        *((name,) for name in _VALUES),
        *_SQUARES,
        *((name, other) for name, others in PREDICTORS.items() for other in others),
    ],
    "b": [(), *((name,) for name in _OF_MODEL), _SQUARES[0]],
}


@cache
def column(weight: str, *names: str) -> str:
    """Return the column of the sum of a product, with the weight `w` or a part of its square, `a` or `b`."""
    if len(names) == 2 and names[0] == names[1] and not names[0].endswith("value"):
        names = names[:1]  # what is only 0 or 1 is its own square
    return "_".join((weight, *names))


_SUMS = {"samples": "1", "verdicts": "m.label != 'unsure'"} | {
    column(weight, *names): " * ".join([f"({_WEIGHTS[weight]})", *(_VALUES[name] for name in names)])
    for weight, products in _PRODUCTS.items()
    for names in products
}

_TERMS = f"""
    SELECT cast(completed_at / {MINUTE} AS INTEGER) AS minute, cast(completed_at / {HOUR} AS INTEGER) AS hour,
           judge, service,
           {", ".join(f"{term} AS {name}" for name, term in _SUMS.items())}
    FROM score AS l JOIN score AS m USING (trace_id, judge, service, completed_at)
    WHERE l.tier = 'local' AND m.tier = 'llm' AND l.inclusion_probability > 0 AND m.inclusion_probability > 0"""

_COUNT = [
    f"""INSERT INTO pair_{unit}
    SELECT {unit}, judge, service, {", ".join(f":sign * {name}" for name in _SUMS)}
    FROM ({_TERMS} AND trace_id = :trace_id AND judge = :judge) WHERE true
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)}"""
    for unit in ("minute", "hour")
]


def count(connection: sqlite3.Connection, sign: int, trace_id: str, judge: str) -> None:
    """Add a trace's pair, if it has one, `sign` times (1 or -1) to the sums of its minute and hour.

    Call it with -1 before each change of one of its scores and with 1 after it.
    """
    for statement in _COUNT:
        connection.execute(statement, {"sign": sign, "trace_id": trace_id, "judge": judge})


def sum_up(
    database: Database, start: float, now: float, judge: str | None, service: str | None
) -> dict[tuple[str, str], Sums]:
    """Sum up the pairs of the traces that were completed from the minute of `start` to that of `now` (Unix seconds).

    Args:
        judge, service: only these; None for all.

    Returns:
        the sums, by `column`, of each judge and service.
    """
    first, end = minutes(start, now)
    only, parameters = only_of(judge, service)
    names = ", ".join(_SUMS)
    read = [
        f"SELECT judge, service, {names} FROM pair_{unit} WHERE {unit} >= {begin} AND {unit} < {until}{found}"
        for unit, begin, until in spans(first, end, ("minute", "hour"))
        for found in (only if unit == "minute" else _found_by_key(only, service),)
    ]
    query = f"""SELECT judge, service, {", ".join(f"sum({name}) AS {name}" for name in _SUMS)}
        FROM ({" UNION ALL ".join(read)}) GROUP BY judge, service HAVING sum(samples) > 0.5"""
    rows = database.connection().execute(query, parameters)
    return {(row["judge"], row["service"]): {name: row[name] for name in _SUMS} for row in rows}


def steps(database: Database, start: float, now: float, step: float, judge: str, service: str) -> dict[int, Sums]:
    """Sum up the pairs of a judge and service as `sum_up` does, in each step that has some.

    Args:
        start: Unix seconds, a multiple of `step`.
        step: seconds, whole minutes, or whole hours.

    Returns:
        The sums by the number of the step since the Unix epoch.
    """
    unit, size = ("hour", HOUR) if step >= HOUR else ("minute", MINUTE)
    only, parameters = only_of(judge, service)
    summed = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    query = f"""SELECT {unit} / {round(step / size)} AS place, {summed} FROM pair_{unit}
        WHERE {unit} >= {int(start // size)} AND {unit} <= {int(now // size)}{only}
        GROUP BY place HAVING sum(samples) > 0.5 ORDER BY place"""
    rows = database.connection().execute(query, parameters)
    return {row["place"]: {name: row[name] for name in _SUMS} for row in rows}


def _found_by_key(only: str, service: str | None) -> str:
    """Write the condition `only` by which SQLite reads hours of a service by the primary key, else by time."""
    if service is None:
        return only.replace(" judge", " +judge")
    return f"{only} AND judge IN (SELECT judge FROM score_day WHERE slice = '' AND service = :service)"


def prune(connection: sqlite3.Connection, before: int) -> None:
    """Delete the sums of the hours before one of them, in the caller's transaction."""
    connection.execute("DELETE FROM pair_minute WHERE minute < ?", (before * 60,))
    connection.execute("DELETE FROM pair_hour WHERE hour < ?", (before,))
