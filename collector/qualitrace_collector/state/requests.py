"""Requests for alert rules that need no judge: one row each until the rules have seen it, and sums by the minute.

Every static method runs inside the caller's transaction. The rows are written in the one that counts a trace as
complete, so each trace counts once; what its late spans cost is added to the sums.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MINUTE, HOUR = 60, 3600
KEEP_SECONDS = 31 * 86_400.0
"""How long sums are kept: the longest period of an SLO, and a day."""
FINE_SECONDS = 26 * 3600.0
"""For how long they are kept by the minute, then by the hour: windows of up to a day begin at a minute."""
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
        for service in {request.service for request in requests}:
            own = [request for request in requests if request.service == service]
            errors, tokens, usd = (sum(getattr(r, name) for r in own) for name in ("error", "tokens", "usd"))
            _add(connection, service, now, len(own), errors, tokens, usd)
            seen(connection, [("", "", service)], now)

    @staticmethod
    def add_late(connection: sqlite3.Connection, service: str, tokens: float, usd: float, now: float) -> None:
        """Add what late spans of a counted trace cost."""
        if tokens or usd:
            _add(connection, service, now, 0, 0, tokens, usd)

    @staticmethod
    def sums(connection: sqlite3.Connection, since: float, now: float) -> list[sqlite3.Row]:
        """Return rows of service, requests, errors, tokens and usd, over the minutes in (since, now] (Unix seconds)."""
        return connection.execute(
            "SELECT service, sum(requests) AS requests, sum(errors) AS errors, sum(tokens) AS tokens, sum(usd) AS usd "
            "FROM request_minute WHERE minute > ? AND minute <= ? GROUP BY service",
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
            "INSERT INTO request_minute SELECT minute / 60 * 60, service, sum(requests), sum(errors), sum(tokens), "
            "sum(usd) FROM request_minute WHERE minute < ? AND minute % 60 != 0 GROUP BY 1, 2 "
            f"ON CONFLICT DO UPDATE SET {_ADDED}",
            (coarse,),
        )
        connection.execute("DELETE FROM request_minute WHERE minute < ? AND minute % 60 != 0", (coarse,))
        connection.execute("DELETE FROM new_request WHERE at < ?", (now - 86_400,))
        connection.execute("DELETE FROM last_seen WHERE at < ?", (oldest,))


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


_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in ("requests", "errors", "tokens", "usd"))


def _add(
    connection: sqlite3.Connection, service: str, now: float, requests: int, errors: int, tokens: float, usd: float
) -> None:
    connection.execute(
        f"INSERT INTO request_minute VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET {_ADDED}",
        (int(now // MINUTE), service, requests, errors, tokens, usd),
    )
