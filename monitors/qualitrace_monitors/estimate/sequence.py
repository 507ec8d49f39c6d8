"""Confidence sequences: intervals from a fixed start, such as a release's first score, that hold at every look.

They rest on what the alerts bet on: single scores, and sessions that are over, each once (x, from 0 to 1, with a
relative weight r of at most 1). For a mean m the evidence against it is that of a bettor who spreads money over all
rates p of passes by Jeffreys' prior, the mixture over p of

    (p / m)^Σrx · ((1 - p) / (1 - m))^Σr(1-x)

For r = 1 and passes and fails this is Robbins' beta-binomial mixture, a bet in the sense of Waudby-Smith and Ramdas
(arXiv:2010.09686). By convexity it is not worth more in the mean for values between 0 and 1 and smaller weights, so the
chance that it ever reaches 1 / α while the mean is m is at most α (Ville). It takes two sums, whatever the order.
"""

import math
import sqlite3
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.interval import Interval
from qualitrace_monitors.estimate.sums import HOUR, only_of

MOST_RELEASES = 50
"""Releases of a service that are kept, the newest ones: a client may make up names without end."""
PRIOR = 0.5  # Jeffreys'
_EDGE = 1e-12

T = TypeVar("T", float, NDArray[np.float64])

_KEY = ("judge", "tier", "version", "service", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Quality of a service by one version of a judge since a fixed start, with intervals that hold at every look.

    Attributes:
        release: whose answers these are; empty where it is not known, or where all since a time count.
        began_at, last_at: when the first and the last of them were scored, Unix seconds.
        values: how many single scores and sessions count.
        pass_rate: share of passes among passes and fails; None if every score is `unsure`.
        pass_rate_interval: its lower end counts `unsure` scores as fails, its upper end as passes.
        mean_score: weighted mean, 0 to 1.
    """

    judge: str
    tier: str
    version: str
    service: str
    release: str
    began_at: float
    last_at: float
    values: int
    pass_rate: float | None
    pass_rate_interval: Interval
    mean_score: float
    mean_score_interval: Interval


def log_evidence(mean: float, weight: T, total: T) -> T:
    """Return the logarithm of the evidence against a mean, above 0 and below 1, from Σr and Σrx."""
    from scipy.special import betaln  # slow to load, and most commands do not need it

    mixed = betaln(PRIOR + total, PRIOR + weight - total) - betaln(PRIOR, PRIOR)
    return mixed - total * math.log(mean) - (weight - total) * math.log1p(-mean)


def interval(weight: float, total: float, confidence: float) -> Interval:
    """Return the interval of the mean that holds at every look, from Σr and Σrx; `confidence` is like 0.95."""
    from scipy.optimize import brentq  # as above

    limit, middle = math.log(2 / (1 - confidence)), min(1 - _EDGE, max(_EDGE, total / weight))

    def excess(mean: float) -> float:
        return log_evidence(mean, weight, total) - limit

    lower = cast(float, brentq(excess, _EDGE, middle)) if middle > _EDGE and excess(_EDGE) > 0 else 0.0
    upper = cast(float, brentq(excess, middle, 1 - _EDGE)) if middle < 1 - _EDGE and excess(1 - _EDGE) > 0 else 1.0
    return lower, upper


def add(
    connection: sqlite3.Connection,
    key: tuple[str, str, str, str, str],
    at: float,
    weight: float,
    passed: float,
    failed: float,
    value: float,
) -> None:
    """Add a bet, in the caller's transaction.

    Args:
        key: judge, tier, version, service and release.
        at: when it was scored, Unix seconds.
        weight: relative, above 0 and at most 1.
        passed, failed, value: means, 0 to 1.
    """
    connection.execute(
        f"INSERT INTO bet_hour ({', '.join(_KEY)}, hour, began_at, last_at, bets, weight, passed, failed, value) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "began_at = min(began_at, excluded.began_at), last_at = max(last_at, excluded.last_at), bets = bets + 1, "
        "weight = weight + excluded.weight, passed = passed + excluded.passed, failed = failed + excluded.failed, "
        "value = value + excluded.value",
        (*key, math.floor(at / HOUR), at, at, weight, weight * passed, weight * failed, weight * value),
    )


def sequences(
    database: Database,
    since: float | None = None,
    confidence: float = 0.95,
    judge: str | None = None,
    service: str | None = None,
) -> list[Sequence]:
    """Return a sequence for each judge, tier and service, of the judge's newest version.

    Args:
        since: the start, Unix seconds, from the next whole hour; None for the first score of the newest release. It
            must not be chosen by what the scores were. The hours of a month are kept.
        confidence: like 0.95.
        judge, service: only these; None for all.
    """
    only, parameters = only_of(judge, service)
    parameters["first"] = -1 if since is None else math.ceil(since / HOUR)
    release = "''" if since is not None else "release"
    rows = database.connection().execute(
        f"""SELECT judge, tier, version, service, {release} AS release, min(began_at) AS began_at,
            max(last_at) AS last_at, sum(bets) AS bets, sum(weight) AS weight, sum(passed) AS passed,
            sum(failed) AS failed, sum(value) AS value
        FROM bet_hour WHERE hour >= :first {only}
        GROUP BY judge, tier, version, service, {release} ORDER BY max(last_at)""",
        parameters,
    )
    newest = {(row["judge"], row["tier"], row["service"]): row for row in rows}
    return [_sequence(newest[key], confidence) for key in sorted(newest)]


def _sequence(row: sqlite3.Row, confidence: float) -> Sequence:
    weight, passed, failed = row["weight"], row["passed"], row["failed"]
    decided = passed + failed
    return Sequence(
        **{name: row[name] for name in (*_KEY, "began_at", "last_at")},
        values=row["bets"],
        pass_rate=passed / decided if decided > _EDGE else None,
        pass_rate_interval=(
            interval(weight, passed, confidence)[0],
            interval(weight, max(0.0, weight - failed), confidence)[1],
        ),
        mean_score=min(1.0, row["value"] / weight),
        mean_score_interval=interval(weight, row["value"], confidence),
    )


def prune(connection: sqlite3.Connection, hour: int) -> None:
    """Forget releases without a score since an hour, and more than `MOST_RELEASES`.

    Of the others all hours before it are added up into the first.
    """
    key, service = ", ".join(_KEY), ", ".join(_KEY[:-1])
    newest = f"row_number() OVER (PARTITION BY {service} ORDER BY max(last_at) DESC)"
    older = f"SELECT {key} FROM (SELECT {key}, {newest} AS place FROM bet_hour GROUP BY {key}) WHERE place > ?"
    connection.execute(f"DELETE FROM bet_hour WHERE ({key}) IN ({older})", (MOST_RELEASES,))
    gone = f"SELECT {key} FROM bet_hour GROUP BY {key} HAVING max(hour) < ?"
    connection.execute(f"DELETE FROM bet_hour WHERE ({key}) IN ({gone})", (hour,))
    rows = connection.execute(
        f"""SELECT {key}, min(hour), min(began_at), max(last_at), sum(bets), sum(weight), sum(passed), sum(failed),
            sum(value) FROM bet_hour WHERE hour < ? GROUP BY {key} HAVING count(*) > 1""",
        (hour,),
    ).fetchall()
    for row in rows:
        mine = " AND ".join(f"{name} = ?" for name in _KEY)
        connection.execute(f"DELETE FROM bet_hour WHERE {mine} AND hour < ?", (*tuple(row)[: len(_KEY)], hour))
        connection.execute(
            f"INSERT INTO bet_hour ({key}, hour, began_at, last_at, bets, weight, passed, failed, value) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            tuple(row),
        )
