"""What judges have spent and may spend: hard limits in US dollars and tokens, per UTC hour and UTC day.

A call's expected cost is reserved in the state database before it is made, and its real cost is booked with its result;
all processes share the one account. So a limit is exceeded by no more than the calls that were in flight.
"""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from qualitrace_collector.config.quality import Budget, JudgeConfig
from qualitrace_collector.state import Database
from qualitrace_monitors.judges import Usage

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS spend (
        judge TEXT NOT NULL, hour INTEGER NOT NULL, calls INTEGER NOT NULL, tokens INTEGER NOT NULL, usd REAL NOT NULL,
        PRIMARY KEY (judge, hour)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS reservation (
        trace_id TEXT NOT NULL, judge TEXT NOT NULL, tokens REAL NOT NULL, usd REAL NOT NULL, expires_at REAL NOT NULL,
        PRIMARY KEY (trace_id, judge)) WITHOUT ROWID""",
)

Unit = Literal["usd", "tokens"]
Window = Literal["hour", "day"]
SECONDS: dict[Window, int] = {"hour": 3600, "day": 86_400}
KEEP_SECONDS = 8 * 86_400.0
ALL = "*"
"""Stands for all judges together; no judge can have this name."""
_FIRST_CALL = (1000.0, 0.0)
"""Tokens and US dollars that a call is expected to take before any was made."""


class Limit(NamedTuple):
    """A configured limit; `judge` is `ALL` for the one over all of them."""

    judge: str
    unit: Unit
    window: Window
    amount: float


class Balance(NamedTuple):
    """A limit with what was spent in its current window, and what calls in flight are expected to take."""

    limit: Limit
    spent: float
    reserved: float

    @property
    def remaining(self) -> float:
        """What may still be spent; not below 0."""
        return max(0.0, self.limit.amount - self.spent - self.reserved)


class Spending:
    """The account of all judges in a state database. Times are Unix seconds."""

    def __init__(self, budget: Budget, judges: Sequence[JudgeConfig], database: Database) -> None:
        self._database = database
        self.limits = [
            *_limits(ALL, budget),
            *(limit for judge in judges for limit in _limits(judge.name, judge.budget)),
        ]

    def balances(self, now: float) -> list[Balance]:
        """Return where each limit stands."""
        return self._balances(self._database.connection(), now) if self.limits else []

    def exhausted(self, judges: Iterable[str], now: float) -> set[str]:
        """Return those of the judges that may make no call now."""
        empty = {balance.limit.judge for balance in self.balances(now) if balance.remaining <= 0}
        return {judge for judge in judges if judge in empty or ALL in empty}

    def reserve(self, judge: str, trace_ids: Sequence[str], now: float, seconds: float) -> set[str]:
        """Reserve a call for each trace, as far as the limits allow.

        Args:
            seconds: how long the reservation holds if the process dies.

        Returns:
            The traces whose call may be made.
        """
        if not self.limits:
            return set(trace_ids)
        with self._database.transaction() as connection:
            tokens, usd = self.expected(judge)
            each = {"tokens": tokens, "usd": usd}
            room = [
                math.ceil(balance.remaining / each[balance.limit.unit])
                for balance in self._balances(connection, now)
                if balance.limit.judge in (ALL, judge) and (each[balance.limit.unit] or balance.remaining <= 0)
            ]
            granted = trace_ids[: min([len(trace_ids), *room])]
            rows = [(trace_id, judge, tokens, usd, now + seconds) for trace_id in granted]
            connection.executemany("INSERT OR REPLACE INTO reservation VALUES (?, ?, ?, ?, ?)", rows)
        return set(granted)

    @staticmethod
    def book(connection: sqlite3.Connection, judge: str, trace_id: str, usage: Usage | None, now: float) -> None:
        """Put what a call cost in place of its reservation; None: no call was made. In the caller's transaction."""
        connection.execute("DELETE FROM reservation WHERE trace_id = ? AND judge = ?", (trace_id, judge))
        if usage is not None:
            tokens = usage.input_tokens + usage.output_tokens
            connection.execute(
                "INSERT INTO spend VALUES (?, ?, 1, ?, ?) ON CONFLICT (judge, hour) DO UPDATE SET calls = calls + 1, "
                "tokens = tokens + excluded.tokens, usd = usd + excluded.usd",
                (judge, int(now // 3600), tokens, usage.cost_usd or 0.0),
            )

    def expected(self, judge: str) -> tuple[float, float]:
        """Return the tokens and US dollars that a call of this judge takes, on average over the last days."""
        row = (
            self._database.connection()
            .execute("SELECT sum(calls), sum(tokens), sum(usd) FROM spend WHERE judge = ?", (judge,))
            .fetchone()
        )
        return (row[1] / row[0], row[2] / row[0]) if row[0] else _FIRST_CALL

    def prune(self, now: float) -> None:
        """Forget the spend of more than a week ago, and reservations of processes that died."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM spend WHERE hour < ?", ((now - KEEP_SECONDS) // 3600,))
            connection.execute("DELETE FROM reservation WHERE expires_at <= ?", (now,))

    def _balances(self, connection: sqlite3.Connection, now: float) -> list[Balance]:
        reserved = _sums(connection, "SELECT judge, sum(tokens), sum(usd) FROM reservation WHERE expires_at > ?", now)
        spent = {
            window: _sums(connection, "SELECT judge, sum(tokens), sum(usd) FROM spend WHERE hour >= ?", first)
            for window, first in (("hour", now // 3600), ("day", now // 86_400 * 24))
        }
        return [
            Balance(limit, spent[limit.window].get((limit.judge, limit.unit), 0.0), reserved.get(limit[:2], 0.0))
            for limit in self.limits
        ]


def _limits(judge: str, budget: Budget) -> list[Limit]:
    amounts: tuple[tuple[Unit, Window, float | None], ...] = (
        ("usd", "hour", budget.usd_per_hour),
        ("usd", "day", budget.usd_per_day),
        ("tokens", "hour", budget.tokens_per_hour),
        ("tokens", "day", budget.tokens_per_day),
    )
    return [Limit(judge, unit, window, amount) for unit, window, amount in amounts if amount is not None]


def _sums(connection: sqlite3.Connection, query: str, start: float) -> dict[tuple[str, str], float]:
    """Run a query for (judge, tokens, usd); return the sums by judge, or `ALL`, and unit."""
    sums: dict[tuple[str, str], float] = {}
    for judge, tokens, usd in connection.execute(f"{query} GROUP BY judge", (start,)):
        for unit, amount in (("tokens", tokens), ("usd", usd)):
            for scope in (judge, ALL):
                sums[scope, unit] = sums.get((scope, unit), 0.0) + amount
    return sums
