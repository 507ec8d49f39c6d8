"""Adds scores to the sums, and takes them out again, in the transaction that changes a score."""

import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qualitrace_monitors.estimate import distribution
from qualitrace_monitors.estimate.sums import DAY, MINUTE, SESSION, SLICED, SUMS, Terms

SESSION_SCORES = 1000
"""Scores of a session that are linked, within a day: one that is longer counts as several, so that work is bounded."""

SAME_SECONDS = 0.001
"""Within it, full parts of a session that began at the same time are told apart: there is room for thousands."""

_COLUMNS = f"*, cast(completed_at / {MINUTE} AS INTEGER) AS minute"

_Vector = list[float]


def session_began(connection: sqlite3.Connection, key: Sequence[str], completed_at: float) -> float:
    """Return when the linked part of a session began that a score belongs to.

    Scores arrive in any order. All scores of a part are completed within the `DAY` from its beginning on.

    Args:
        key: session, judge, tier and service.
        completed_at: of the score, Unix seconds.
    """
    beginning = "session = ? AND judge = ? AND tier = ? AND service = ? AND session_began"
    size = f"SELECT count(*), max(completed_at) FROM score WHERE {beginning} = ?"

    def read(query: str, *times: float) -> sqlite3.Row:
        return connection.execute(query, (*key, *times)).fetchone()

    (earlier,) = read(
        f"SELECT max(session_began) FROM score WHERE {beginning} BETWEEN ? AND ?", completed_at - DAY, completed_at
    )
    if earlier is not None and read(size, earlier)[0] < SESSION_SCORES:
        return earlier
    began = completed_at
    if earlier == completed_at:  # that part is full: another beginning, earlier by nothing that matters
        (first,) = read(
            f"SELECT min(session_began) FROM score WHERE {beginning} BETWEEN ? AND ?", began - SAME_SECONDS, began
        )
        began = math.nextafter(first, -math.inf)
    (later,) = read(f"SELECT min(session_began) FROM score WHERE {beginning} > ?", completed_at)
    if later is not None:
        scores, last = read(size, later)
        if scores < SESSION_SCORES and last - began <= DAY:
            connection.execute(f"UPDATE score SET session_began = ? WHERE {beginning} = ?", (began, *key, later))
    return began


def count(connection: sqlite3.Connection, sign: int, trace_id: str, judge: str, tier: str | None = None) -> None:
    """Add a trace's scores, as they are now, `sign` times (1 or -1) to all sums.

    Call it with -1 before each change of a score and with 1 after it.
    """
    condition = "trace_id = ? AND judge = ? AND tier = ifnull(?, tier) AND inclusion_probability > 0"
    query = f"SELECT {_COLUMNS} FROM score WHERE {condition}"
    for score in connection.execute(query, (trace_id, judge, tier)).fetchall():
        _add(connection, sign, score)


def _add(connection: sqlite3.Connection, sign: int, score: sqlite3.Row) -> None:
    terms, minute = _terms(score), score["minute"]
    linear = [1.0, float(score["label"] != "unsure"), *terms[:3], terms.value]
    changes: dict[tuple[Any, ...], _Vector] = {}
    _change(changes, score, minute, [*linear, *(square / 2 for square in _products(terms, terms))], SLICED)
    for (later, slices), others in _linked(connection, score).items():
        same = [name for name, value in zip(SLICED, slices, strict=True) if score[name] == value]
        _change(changes, score, later, [*(0.0 for _ in linear), *_products(terms, others)], same)
    heaviest = max(terms.w, 1 / (score["least_probability"] or 1))
    for (table, *key), vector in changes.items():
        values = (*key, *(sign * number for number in vector), heaviest)
        connection.execute(_UPSERT[table], values)
    distribution.add(connection, score, sign * terms.w)


def _terms(score: sqlite3.Row) -> Terms:
    w, label = 1 / score["inclusion_probability"], score["label"]
    return Terms(w, w * (label == "pass"), w * (label != "fail"), w * (label == "unsure"), w * score["value"])


def _products(one: Terms, other: Terms) -> _Vector:
    """Return what a pair adds to the squares, in the order of `SQUARES`."""
    return [
        2 * one.w * other.w,
        one.w * other.passed + other.w * one.passed,
        2 * one.passed * other.passed,
        one.w * other.not_failed + other.w * one.not_failed,
        2 * one.not_failed * other.not_failed,
        2 * one.unsure * other.unsure,
        one.w * other.value + other.w * one.value,
        2 * one.value * other.value,
    ]


def _linked(connection: sqlite3.Connection, score: sqlite3.Row) -> Mapping[tuple[int, tuple[str, ...]], Terms]:
    """Sum up the other scores of the session, by the minute where a pair with them counts and by their slices."""
    if score["session_began"] is None:
        return {}
    where = " AND ".join(f"{name} = ?" for name in SESSION)
    query = f"SELECT {_COLUMNS} FROM score WHERE {where} AND trace_id != ? AND inclusion_probability > 0"
    found: dict[tuple[int, tuple[str, ...]], Terms] = {}
    for other in connection.execute(query, (*(score[name] for name in SESSION), score["trace_id"])):
        key = max(other["minute"], score["minute"]), tuple(other[name] for name in SLICED)
        before = found.get(key, Terms(0, 0, 0, 0, 0))
        found[key] = Terms(*(a + b for a, b in zip(before, _terms(other), strict=True)))
    return found


def _change(
    changes: dict[tuple[Any, ...], _Vector],
    score: sqlite3.Row,
    minute: int,
    vector: Iterable[float],
    slices: Sequence[str],
) -> None:
    """Add a vector of sums to a minute's, and to those of its hour and day, in all and by the values of `slices`."""
    of, hour = (score["judge"], score["tier"], score["service"]), minute // 60
    keys: list[tuple[Any, ...]] = [("score_minute", minute, *of)]
    for name, value in (("", ""), *((name, score[name]) for name in slices if score[name])):
        keys += [("score_hour", name, value, hour, *of), ("score_day", name, value, hour // 24, *of)]
    added = list(vector)
    for key in keys:
        before = changes.get(key)
        changes[key] = added if before is None else [a + b for a, b in zip(before, added, strict=True)]


def _upsert(table: str, keys: str) -> str:
    columns = f"{keys}, {', '.join(SUMS)}, heaviest"
    marks = ", ".join("?" * len(columns.split(", ")))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({marks}) "
        f"ON CONFLICT DO UPDATE SET {added}, heaviest = max(heaviest, excluded.heaviest)"
    )


_UPSERT = {
    "score_minute": _upsert("score_minute", "minute, judge, tier, service"),
    "score_hour": _upsert("score_hour", "slice, value, hour, judge, tier, service"),
    "score_day": _upsert("score_day", "slice, value, day, judge, tier, service"),
}
