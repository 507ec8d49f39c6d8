"""What judges have spent and may spend: hard limits in US dollars and tokens, per UTC hour and UTC day.

A call's expected cost is reserved in the state database before it is made, and its real cost is booked with its result;
all processes share the one account. So a limit is exceeded by no more than the calls that were in flight.
"""

import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from qualitrace_collector.state import Database
from qualitrace_monitors.judges import Usage
from qualitrace_monitors.judges.llm.provider import price
from qualitrace_monitors.judges.settings import Budget, JudgeConfig

Unit = Literal["usd", "tokens"]
Window = Literal["hour", "day"]
SECONDS: dict[Window, int] = {"hour": 3600, "day": 86_400}
KEEP_SECONDS = 8 * 86_400.0
ALL = "*"
"""Stands for all judges together; no judge can have this name."""
_Sums = dict[tuple[str, str], float]
"""Amounts by judge, or `ALL`, and unit."""
_FIRST_TOKENS = 1000
"""Tokens that a call is expected to take before any was made; of its price they are the input."""


class Limit(NamedTuple):
    """A configured limit; `judge` is `ALL` for the one over all of them."""

    judge: str
    unit: Unit
    window: Window
    amount: float

    def covers(self, judge: str) -> bool:
        """Whether calls of this judge count against it."""
        return self.judge in (ALL, judge)


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
        self._models = {judge.name: judge.model or "" for judge in judges}
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
        if not self.limits or not trace_ids:
            return set(trace_ids)
        with self._database.transaction() as connection:
            tokens, usd = self.expected(judge)
            each = {"tokens": tokens, "usd": usd}
            room = [
                math.ceil(balance.remaining / each[balance.limit.unit])
                for balance in self._balances(connection, now)
                if balance.limit.covers(judge) and (each[balance.limit.unit] or balance.remaining <= 0)
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
        """Return the tokens and US dollars that a call of this judge takes, on average over the last days.

        Before the first call the price list tells: else all that comes until then would look free.
        """
        row = (
            self._database.connection()
            .execute("SELECT sum(calls), sum(tokens), sum(usd) FROM spend WHERE judge = ?", (judge,))
            .fetchone()
        )
        if row[0]:
            return row[1] / row[0], row[2] / row[0]
        provider, _, model = self._models.get(judge, "").partition(":/")
        return _FIRST_TOKENS, price(provider, model.lstrip("/"), _FIRST_TOKENS, 0) or 0.0

    def prune(self, now: float) -> None:
        """Forget the spend of more than a week ago, and reservations of processes that died."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM spend WHERE hour < ?", ((now - KEEP_SECONDS) // 3600,))
            connection.execute("DELETE FROM reservation WHERE expires_at <= ?", (now,))
            connection.execute(
                "DELETE FROM always_pick AS pick WHERE NOT EXISTS "
                "(SELECT 1 FROM judgement WHERE trace_id = pick.trace_id AND judge = pick.judge)"
            )

    def _balances(self, connection: sqlite3.Connection, now: float) -> list[Balance]:
        query = "SELECT judge, sum(tokens), sum(usd) FROM {} ? GROUP BY judge"
        reserved = _sums(connection.execute(query.format("reservation WHERE expires_at >"), (now,)))
        spent: dict[Window, _Sums] = {
            window: _sums(connection.execute(query.format("spend WHERE hour >="), ((now - now % seconds) // 3600,)))
            for window, seconds in SECONDS.items()
        }
        return [_balance(limit, spent, reserved) for limit in self.limits]


class AlwaysPicks:
    """The account of the traces that are judged because such ones always are: they may take a part of each limit.

    A pick takes what a call is expected to cost until it has its outcome, then what it did cost.

    Args:
        share: that part, 0 to 1.
    """

    def __init__(self, share: float, spending: Spending, database: Database) -> None:
        self._share = share
        self._spending = spending
        self._database = database

    def balances(self, now: float) -> list[Balance]:
        """Return where their part of each limit stands, in the order of the limits; `now` is in Unix seconds."""
        connection = self._database.connection()
        query = "SELECT judge, sum(tokens), sum(usd) FROM always_pick WHERE spent_at >= ? GROUP BY judge"
        spent: dict[Window, _Sums] = {
            window: _sums(connection.execute(query, (now - now % seconds,))) for window, seconds in SECONDS.items()
        }
        waiting = connection.execute("SELECT judge, count(*) FROM always_pick WHERE spent_at IS NULL GROUP BY judge")
        expected = {judge: (count, *self._spending.expected(judge)) for judge, count in waiting.fetchall()}
        reserved = _sums((judge, count * tokens, count * usd) for judge, (count, tokens, usd) in expected.items())
        parts = [limit._replace(amount=limit.amount * self._share) for limit in self._spending.limits]
        return [_balance(part, spent, reserved) for part in parts]

    @staticmethod
    def put(connection: sqlite3.Connection, judge: str, trace_id: str) -> None:
        """Put a pick on the account, in the caller's transaction."""
        connection.execute("INSERT OR REPLACE INTO always_pick VALUES (?, ?, NULL, 0, 0)", (trace_id, judge))

    @staticmethod
    def book(connection: sqlite3.Connection, judge: str, trace_id: str, usage: Usage, now: float) -> None:
        """Add what a trace cost, in the caller's transaction; of another trace than these there is no account."""
        connection.execute(
            "UPDATE always_pick SET spent_at = ?, tokens = tokens + ?, usd = usd + ? WHERE trace_id = ? AND judge = ?",
            (now, usage.input_tokens + usage.output_tokens, usage.cost_usd or 0.0, trace_id, judge),
        )


def _limits(judge: str, budget: Budget) -> list[Limit]:
    amounts: tuple[tuple[Unit, Window, float | None], ...] = (
        ("usd", "hour", budget.usd_per_hour),
        ("usd", "day", budget.usd_per_day),
        ("tokens", "hour", budget.tokens_per_hour),
        ("tokens", "day", budget.tokens_per_day),
    )
    return [Limit(judge, unit, window, amount) for unit, window, amount in amounts if amount is not None]


def _balance(limit: Limit, spent: Mapping[Window, _Sums], reserved: _Sums) -> Balance:
    scope = limit.judge, limit.unit
    return Balance(limit, spent[limit.window].get(scope, 0.0), reserved.get(scope, 0.0))


def _sums(rows: Iterable[tuple[str, float, float]]) -> _Sums:
    """Sum up rows of judge, tokens and US dollars."""
    sums: _Sums = {}
    for judge, tokens, usd in rows:
        for unit, amount in (("tokens", tokens), ("usd", usd)):
            for scope in (judge, ALL):
                sums[scope, unit] = sums.get((scope, unit), 0.0) + amount
    return sums
