"""Fills a state database as a month of a busy installation does, within a minute or two.

Scores are written in bulk, and their sums by SQL that gives what the counting code gives, score by score:
`tests/monitors/estimate/test_many_scores.py` compares them.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, Ledger
from qualitrace_collector.state.requests import Request, Requests
from qualitrace_monitors.answers.texts import keep
from qualitrace_monitors.estimate import pairs
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.estimate.sums import DAY, HOUR, MINUTE, SLICED, SUMS

JUDGES = (
    *("groundedness", "relevance", "safety", "toxicity", "refusal", "faithfulness"),
    *("prompt_injection", "retrieval_relevance", "pii", "tone", "format", "language"),
)
"""The last three are custom ones."""
CASCADES = 2
"""How many of the judges have a model behind them, which scores a fifth of the traces."""
MODELS_SHARE = 0.2
PROBABILITIES = (0.05, 0.25, 1.0)
LONGEST_SESSION = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much there is, and until when.

    Attributes:
        scores: about so many.
        until: of the last score, Unix seconds.
        values: routes of the busiest service; the others have five.
    """

    scores: int
    until: float
    services: int = 50
    judges: int = 12
    days: int = 30
    values: int = 50


@dataclass(frozen=True, slots=True)
class _Trace:
    number: int
    service: int
    session: str
    began_at: float
    at: float
    good: float

    @property
    def trace_id(self) -> str:
        return f"tr-{self.number:032x}"


def fill(database: Database, load: Load) -> None:
    """Write scores, their sums, answers, requests and the ledger; `service-01` has the most of the traffic."""
    traces = [*_traces(load)]
    for pragma in ("synchronous = OFF", "cache_size = -500000"):  # nobody else needs it meanwhile
        database.connection().execute(f"PRAGMA {pragma}")
    with database.transaction() as connection:
        values = attrgetter(*ScoreRow.__slots__)
        rows = ((*values(row), began) for trace in traces for row, began in _scores(trace, load))
        names = [*ScoreRow.__slots__, "session_began"]
        connection.executemany(f"INSERT INTO score ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)
        _sum_up(connection)
        for judge in JUDGES[:CASCADES]:
            query = "SELECT trace_id FROM score WHERE judge = ? AND tier = 'llm'"
            for (trace_id,) in connection.execute(query, (judge,)).fetchall():
                pairs.count(connection, 1, trace_id, judge)
        for trace in traces:
            _request(connection, trace)
        for service in {trace.service for trace in traces}:
            count = sum(trace.service == service for trace in traces)
            Ledger.add(connection, _name(service), "stored", count=count)
            for judge in JUDGES[: load.judges]:
                Ledger.add(connection, _name(service), "scored", judge, count)
        Requests.prune(connection, load.until)
    Database(database.path).close()  # makes the sums of days, and of values, of what there is


def _name(service: int) -> str:
    return f"service-{service + 1:02}"


def _traces(load: Load) -> Iterator[_Trace]:
    random = np.random.default_rng(20261128)
    share = 1 / np.arange(1, load.services + 1)
    sought, number, session = max(1, load.scores // load.judges), 0, 0
    while number < sought:
        session += 1
        service = int(random.choice(load.services, p=share / share.sum()))
        length = min(int(random.integers(1, LONGEST_SESSION + 1)), sought - number)
        began = load.until - float(random.uniform(LONGEST_SESSION * MINUTE, load.days * DAY))
        good = float(random.beta(8, 2))
        for turn in range(length):
            name = f"session-{session}" if length > 1 else ""
            yield _Trace(number, service, name, began, began + turn * 0.9 * MINUTE, good)
            number += 1


def _scores(trace: _Trace, load: Load) -> Iterator[tuple[ScoreRow, float | None]]:
    random = np.random.default_rng(trace.number)
    draws, models = random.random(load.judges), random.random(CASCADES) < MODELS_SHARE
    probability = PROBABILITIES[trace.service % len(PROBABILITIES)]
    age = (load.until - trace.at) / DAY
    for place, (judge, draw) in enumerate(zip(JUDGES[: load.judges], draws, strict=True)):
        value = round(float(min(1.0, max(0.0, trace.good + 0.6 * (draw - 0.5)))), 3)
        for tier in ("local", "llm") if place < CASCADES and models[place] else ("local",):
            row = ScoreRow(
                trace_id=trace.trace_id,
                judge=judge,
                version="2" if age < load.days / 3 else "1",
                tier=tier,
                service=_name(trace.service),
                model=("gpt-5-mini", "gpt-5")[trace.number % 2],
                prompt_version=f"p{trace.number % 3}",
                value=value,
                label="pass" if value >= 0.6 else "fail" if value < 0.5 else "unsure",
                rationale="two of three sentences rest on no passage: “the warranty is five years”",
                inclusion_probability=probability * (MODELS_SHARE if tier == "llm" else 1),
                assessment_id=f"a-{trace.number}-{place}",
                tokens=0,
                cost_usd=None,
                completed_at=trace.at,
                scored_at=trace.at,
                least_probability=min(PROBABILITIES) * MODELS_SHARE,
                session=trace.session,
                route=f"/route/{trace.number % (5 if trace.service else load.values)}",
                release=f"1.{int((load.days - age) / 3)}",
                environment="production",
                retriever=f"handbook-{trace.number % 2}",
                weight=1.0,
            )
            yield row, trace.began_at if trace.session else None


def _request(connection: sqlite3.Connection, trace: _Trace) -> None:
    texts = Sample(
        inputs=f"How long is the warranty of part {trace.number}?",
        outputs="It is five years. " * 12,
        metadata={"service": _name(trace.service)},
    )
    keep(connection, trace.trace_id, texts, trace.at)
    request = Request(
        trace_id=trace.trace_id,
        service=_name(trace.service),
        session=trace.session,
        error=trace.number % 50 == 0,
        seconds=0.5 + trace.good * (trace.number % 7),
        first_token=None,
        tokens=900.0,
        usd=0.002,
        slices={},
    )
    Requests.put(connection, [request], trace.at, one_by_one=False)


def _terms(of: str) -> dict[str, str]:
    """Return SQL of a score's weight, and of it times each quantity."""
    w = f"(1 / {of}.inclusion_probability)"
    return {
        "w": w,
        "passed": f"{w} * ({of}.label = 'pass')",
        "not_failed": f"{w} * ({of}.label != 'fail')",
        "unsure": f"{w} * ({of}.label = 'unsure')",
        "value": f"{w} * {of}.value",
    }


def _squares(a: dict[str, str], b: dict[str, str], factor: str) -> str:
    """Return SQL of what a pair adds to the squares."""
    products = [f"2 * {a['w']} * {b['w']}"]
    for name in ("passed", "not_failed"):
        products += [f"({a['w']} * {b[name]} + {b['w']} * {a[name]})", f"2 * {a[name]} * {b[name]}"]
    products.append(f"2 * {a['unsure']} * {b['unsure']}")
    products += [f"({a['w']} * {b['value']} + {b['w']} * {a['value']})", f"2 * {a['value']} * {b['value']}"]
    return ", ".join(f"{factor} * {product}" for product in products)


def _sum_up(connection: sqlite3.Connection) -> None:
    a, b = _terms("a"), _terms("b")
    minute = f"cast(max(a.completed_at, b.completed_at) / {MINUTE} AS INTEGER)"
    key = "a.judge, a.tier, a.service"
    linear = f"1.0, a.label != 'unsure', {a['w']}, {a['passed']}, {a['not_failed']}, {a['value']}"
    same = ", ".join(f"CASE WHEN a.{name} = b.{name} THEN a.{name} ELSE '' END" for name in SLICED)
    linked = " AND ".join(f"a.{name} = b.{name}" for name in ("session", "judge", "tier", "service", "session_began"))
    names = ", ".join(SLICED)
    connection.execute(f"CREATE TEMP TABLE part (minute, judge, tier, service, {names}, {', '.join(SUMS)}, heaviest)")
    connection.execute(
        f"INSERT INTO part SELECT cast(a.completed_at / {MINUTE} AS INTEGER), {key}, {names}, {linear}, "
        f"{_squares(a, a, '0.5')}, max({a['w']}, 1 / a.least_probability) FROM score AS a"
    )
    connection.execute(
        f"INSERT INTO part SELECT {minute}, {key}, {same}, 0, 0, 0, 0, 0, 0, {_squares(a, b, '1')}, 0 "
        f"FROM score AS a JOIN score AS b ON {linked} AND a.trace_id < b.trace_id WHERE a.session_began IS NOT NULL"
    )
    summed = f"{', '.join(f'sum({name})' for name in SUMS)}, max(heaviest)"
    columns = f"judge, tier, service, {', '.join(SUMS)}, heaviest"
    connection.execute(
        f"INSERT INTO score_minute (minute, {columns}) SELECT minute, judge, tier, service, {summed} FROM part "
        "GROUP BY minute, judge, tier, service"
    )
    for name in ("", *SLICED):
        value, some = (name, f"WHERE {name} != ''") if name else ("''", "")
        connection.execute(
            f"INSERT INTO score_hour (slice, value, hour, {columns}) "
            f"SELECT '{name}', {value} AS sliced, minute / 60 AS hour, judge, tier, service, {summed} FROM part {some} "
            "GROUP BY judge, service, tier, sliced, hour"
        )
        if name:
            connection.execute(
                f"INSERT INTO slice_value SELECT service, '{name}', {name}, max(minute / 60) FROM part {some} "
                "GROUP BY service, 3"
            )
    connection.execute("DELETE FROM slice_value WHERE slice = 'version'")
    connection.execute("DROP TABLE part")
    connection.execute(
        f"INSERT INTO bet_hour SELECT judge, tier, version, service, release, cast(scored_at / {HOUR} AS INTEGER) AS hour, "
        "min(scored_at), max(scored_at), count(*), count(*), sum(label = 'pass'), sum(label = 'fail'), sum(value) "
        "FROM score GROUP BY judge, tier, version, service, release, hour"
    )
    connection.execute(
        "INSERT INTO last_seen SELECT judge, tier, service, max(completed_at), -1 FROM score "
        "GROUP BY judge, tier, service"
    )
