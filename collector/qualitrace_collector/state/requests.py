"""Requests, judged or not: their sums by the minute, and one row each until the alert rules that bet on them saw it.

Every static method runs inside the caller's transaction. The rows are written in the one that counts a trace as
complete, so each trace counts once; what its late spans cost is added to the sums.
"""

import json
import logging
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qualitrace_collector.state.schema import DURATION_BOUNDS, DURATIONS

MINUTE, HOUR = 60, 3600
KEEP_SECONDS = 31 * 86_400.0
"""How long sums are kept: the longest period of an SLO, and a day."""
FINE_SECONDS = 26 * 3600.0
"""How long they are kept by the minute, then by the hour: windows of up to a day begin at a minute."""
MOST_NEW = 200_000
"""Rows that wait for the rules. Beyond, the oldest are dropped, which the log says: no monitor is running."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A complete trace, as rules see it; `seconds` and `first_token` are None where the trace does not say.

    Attributes:
        spent: tokens and US dollars.
        slices: model, release and so on, by the names of the score's columns.
    """

    trace_id: str
    service: str
    session: str
    error: bool
    seconds: float | None
    first_token: float | None
    tokens: float
    usd: float
    slices: Mapping[str, str]


class Requests:
    """The tables of requests."""

    @staticmethod
    def put(
        connection: sqlite3.Connection, requests: Iterable[Request], now: float, *, one_by_one: bool = True
    ) -> None:
        """Write requests that are complete for the first time.

        Args:
            now: Unix seconds.
            one_by_one: some rule bets on each of them; else sums are enough.
        """
        requests = [*requests]
        if one_by_one and requests:
            _put_each(connection, requests, now)
        by_service: dict[str, list[Request]] = {}
        for request in requests:
            by_service.setdefault(request.service, []).append(request)
        for service, own in by_service.items():
            errors, tokens, usd = (sum(getattr(r, name) for r in own) for name in ("error", "tokens", "usd"))
            Requests.add(connection, service, now, (len(own), errors, tokens, usd, *_durations(own)))
        seen(connection, [("", "", service) for service in by_service], now)

    @staticmethod
    def add(connection: sqlite3.Connection, service: str, now: float, sums: Sequence[float]) -> None:
        """Add to a service's sums in the minute of `now` (Unix seconds), in the order of `SUMS`; 0 where they end."""
        connection.execute(_PUT, (int(now // MINUTE), service, *sums, *(0,) * (len(SUMS) - len(sums))))

    @staticmethod
    def add_late(connection: sqlite3.Connection, service: str, tokens: float, usd: float, now: float) -> None:
        """Add what late spans of a counted trace cost."""
        if tokens or usd:
            Requests.add(connection, service, now, (0, 0, tokens, usd))

    @staticmethod
    def sums(connection: sqlite3.Connection, since: float, now: float) -> list[sqlite3.Row]:
        """Return rows of service and `SUMS`, over the minutes in (since, now] (Unix seconds)."""
        return connection.execute(
            f"SELECT service, {_SUMMED} FROM request_minute WHERE minute > ? AND minute <= ? GROUP BY service",
            (since // MINUTE, now // MINUTE),
        ).fetchall()

    @staticmethod
    def forget_ahead(connection: sqlite3.Connection, now: float) -> None:
        """Forget sums of minutes that are to come: a clock that was ahead has written them, and gets there again."""
        connection.execute("DELETE FROM request_minute WHERE minute > ?", (now // MINUTE + 1,))

    @staticmethod
    def prune(connection: sqlite3.Connection, now: float) -> None:
        """Join old minutes to hours; forget what is older, and what a clock that was ahead has written."""
        oldest, coarse = now - KEEP_SECONDS, (now - FINE_SECONDS) // HOUR * (HOUR // MINUTE)
        Requests.forget_ahead(connection, now)
        connection.execute("DELETE FROM request_minute WHERE minute < ?", (oldest // MINUTE,))
        connection.execute(
            f"INSERT INTO request_minute (minute, service, {_NAMES}) SELECT minute / 60 * 60, service, {_SUMMED} "
            f"FROM request_minute WHERE minute < ? AND minute % 60 != 0 GROUP BY 1, 2 "
            f"ON CONFLICT DO UPDATE SET {_ADDED}",
            (coarse,),
        )
        connection.execute("DELETE FROM request_minute WHERE minute < ? AND minute % 60 != 0", (coarse,))
        connection.execute("DELETE FROM new_request WHERE at < ?", (now - 86_400,))
        connection.execute("DELETE FROM last_seen WHERE at < ?", (oldest,))


def duration_percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the seconds that so great a share of the requests took at most, in a row's order of `DURATIONS`.

    It lies within the bounds of its count, which are half as much again apart; None without requests. Beyond the last
    bound it is that bound.
    """
    rest = share * sum(counts)
    for count, lower, upper in zip(
        counts, (0.0, *DURATION_BOUNDS), (*DURATION_BOUNDS, DURATION_BOUNDS[-1]), strict=True
    ):
        if count and rest <= count:
            return lower + (upper - lower) * rest / count
        rest -= count
    return None


def seen(connection: sqlite3.Connection, keys: Iterable[tuple[str, str, str]], now: float) -> None:
    """Note that scores of (judge, tier, service), or requests (two empty), came; in the caller's transaction."""
    connection.executemany("INSERT OR REPLACE INTO last_seen VALUES (?, ?, ?, ?, -1)", [(*key, now) for key in keys])


def _put_each(connection: sqlite3.Connection, requests: Iterable[Request], now: float) -> None:
    connection.executemany(
        "INSERT INTO new_request (trace_id, service, session, error, seconds, first_token, slices, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (r.trace_id, r.service, r.session, r.error, r.seconds, r.first_token, json.dumps(dict(r.slices)), now)
            for r in requests
        ],
    )
    dropped = connection.execute(
        "DELETE FROM new_request WHERE sequence <= (SELECT max(sequence) FROM new_request) - ?", (MOST_NEW,)
    ).rowcount
    if dropped:
        _log.warning(
            "%d requests are left out of alerts: %d wait for the rules, is a monitor running?", dropped, MOST_NEW
        )


SUMS = ("requests", "errors", "tokens", "usd", *DURATIONS)
"""Columns that are summed up; the last ones count requests by how long they took (`DURATION_BOUNDS`)."""

_NAMES = ", ".join(SUMS)
_SUMMED = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_PUT = (
    f"INSERT INTO request_minute (minute, service, {_NAMES}) VALUES (?, ?{', ?' * len(SUMS)}) "
    f"ON CONFLICT DO UPDATE SET {_ADDED}"
)


def _durations(requests: Iterable[Request]) -> list[int]:
    counts = [0] * len(DURATIONS)
    for request in requests:
        if request.seconds is not None:
            counts[bisect_left(DURATION_BOUNDS, request.seconds)] += 1
    return counts
