"""What judges have spent and may spend: hard limits in US dollars and tokens, per UTC hour and UTC day.

A call's expected cost is reserved in the state database before it is made, and its real cost is booked with its result;
all processes share the one account. So a limit is exceeded by no more than the calls that were in flight.
"""

import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from qualitrace_collector.state import Database
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.judges.llm.provider import price
from qualitrace_monitors.judges.settings import Budget, JudgeConfig

Unit = Literal["usd", "tokens"]
Window = Literal["hour", "day"]
UNITS: tuple[Unit, ...] = ("usd", "tokens")
SECONDS: dict[Window, int] = {"hour": 3600, "day": 86_400}
KEEP_SECONDS = 8 * 86_400.0
ALL = "*"
"""Stands for all judges together; no judge can have this name."""
FIRST_CALL_TOKENS = 1000
"""Tokens that a judge's first call is expected to take, all of them input."""
_Sums = dict[tuple[str, str], float]
"""Amounts by judge, or `ALL`, and unit."""


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
        if not self.limits:
            return []
        query = "SELECT judge, sum(tokens), sum(usd) FROM {} ? GROUP BY judge"
        reserved = _sums(self._database.rows(query.format("reservation WHERE expires_at >"), (now,)))
        spent: dict[Window, _Sums] = {
            window: _sums(self._database.rows(query.format("spend WHERE hour >="), ((now - now % seconds) // 3600,)))
            for window, seconds in SECONDS.items()
        }
        return [_balance(limit, spent, reserved) for limit in self.limits]

    def exhausted(self, judges: Iterable[str], now: float) -> set[str]:
        """Return those of the judges that may make no call now."""
        empty = {balance.limit.judge for balance in self.balances(now) if balance.remaining <= 0}
        return {judge for judge in judges if judge in empty or ALL in empty}

    def reserve(self, judge: str, trace_ids: Sequence[str], now: float, seconds: float) -> set[str]:
        """Reserve the expected cost of a call for each trace, as far as the limits allow.

        Args:
            seconds: how long the reservation holds if the process dies.

        Returns:
            The traces whose call may be made.
        """
        if not self.limits or not trace_ids:
            return set(trace_ids)
        with self._database.transaction() as connection:
            cost = self.expected_cost(judge)
            # Rounded up: a call may begin while anything is left of a limit.
            room = [
                0 if balance.remaining <= 0 else math.ceil(balance.remaining / cost[balance.limit.unit])
                for balance in self.balances(now)
                # A call whose price is not known takes nothing of a limit in US dollars.
                if balance.limit.covers(judge) and (cost[balance.limit.unit] or balance.remaining <= 0)
            ]
            granted = trace_ids[: min([len(trace_ids), *room])]
            rows = [(trace_id, judge, cost["tokens"], cost["usd"], now + seconds) for trace_id in granted]
            connection.executemany("INSERT OR REPLACE INTO reservation VALUES (?, ?, ?, ?, ?)", rows)
        return set(granted)

    @staticmethod
    def book(connection: sqlite3.Connection, judge: str, trace_id: str, usage: Usage | None, now: float) -> None:
        """Replace the reservation of a call by its cost, in the caller's transaction; None if no call was made."""
        connection.execute("DELETE FROM reservation WHERE trace_id = ? AND judge = ?", (trace_id, judge))
        if usage is not None:
            connection.execute(
                "INSERT INTO spend VALUES (?, ?, 1, ?, ?) ON CONFLICT (judge, hour) DO UPDATE SET calls = calls + 1, "
                "tokens = tokens + excluded.tokens, usd = usd + excluded.usd",
                (judge, int(now // 3600), usage.tokens, usage.cost_usd or 0.0),
            )

    def expected_cost(self, judge: str) -> dict[Unit, float]:
        """Return what a call of this judge costs: the mean of the last days, before the first call the list price."""
        query = "SELECT sum(calls), sum(tokens), sum(usd) FROM spend WHERE judge = ?"
        calls, tokens, usd = self._database.rows(query, (judge,))[0]
        if calls:
            return {"tokens": tokens / calls, "usd": usd / calls}
        # With a cost of 0 a storm of failed traces at the start would be picked whole, and would wait for more money
        # than the budget has.
        provider, _, model = self._models.get(judge, "").partition(":/")
        usd = sum(price(provider, model.lstrip("/"), FIRST_CALL_TOKENS, 0) or ())
        return {"tokens": FIRST_CALL_TOKENS, "usd": usd}

    @staticmethod
    def book_cached(connection: sqlite3.Connection, judge: str, now: float) -> None:
        """Note a verdict that was paid for before, in the caller's transaction."""
        connection.execute(
            "INSERT INTO cached VALUES (?, ?, 1) ON CONFLICT (judge, hour) DO UPDATE SET verdicts = verdicts + 1",
            (judge, int(now // 3600)),
        )

    def expected_cost_of_pick(self, judge: str, now: float) -> dict[Unit, float]:
        """Return the expected cost of a picked trace: a call's, times the share of recent verdicts that were bought."""
        since = (judge, int(now // 3600) - 1)
        (calls,) = self._database.rows("SELECT total(calls) FROM spend WHERE judge = ? AND hour >= ?", since)[0]
        (cached,) = self._database.rows("SELECT total(verdicts) FROM cached WHERE judge = ? AND hour >= ?", since)[0]
        paid = calls / (calls + cached) if cached else 1.0
        cost = self.expected_cost(judge)
        return {"tokens": cost["tokens"] * paid, "usd": cost["usd"] * paid}

    def prune(self, now: float) -> None:
        """Delete old spending, reservations of processes that died, and picks whose task is deleted."""
        with self._database.transaction() as connection:
            for table in ("spend", "cached"):
                connection.execute(f"DELETE FROM {table} WHERE hour < ?", ((now - KEEP_SECONDS) // 3600,))
            connection.execute("DELETE FROM reservation WHERE expires_at <= ?", (now,))
            connection.execute(
                "DELETE FROM always_pick AS pick WHERE NOT EXISTS "
                "(SELECT 1 FROM judgement WHERE trace_id = pick.trace_id AND judge = pick.judge)"
            )


class AlwaysPicks:
    """The account of the traces that are always judged (`sampling.always`): they may take a share of each limit.

    A pick takes the expected cost of a call until it has its outcome, and from then on what it did cost. So the picks
    are counted, not only what was spent: a storm of a minute would fill the queue before its first call is paid.

    Args:
        share: of each limit, 0 to 1.
    """

    def __init__(self, share: float, spending: Spending, database: Database) -> None:
        self._share = share
        self._spending = spending
        self._database = database

    def balances(self, now: float) -> list[Balance]:
        """Return where their share of each limit stands, in the order of the limits; `now` is in Unix seconds."""
        query = "SELECT judge, sum(tokens), sum(usd) FROM always_pick WHERE spent_at >= ? GROUP BY judge"
        spent: dict[Window, _Sums] = {
            window: _sums(self._database.rows(query, (now - now % seconds,))) for window, seconds in SECONDS.items()
        }
        query = "SELECT judge, count(*) FROM always_pick WHERE spent_at IS NULL GROUP BY judge"
        rows = self._database.rows(query)
        waiting = [(judge, count, self._spending.expected_cost_of_pick(judge, now)) for judge, count in rows]
        reserved = _sums((judge, count * cost["tokens"], count * cost["usd"]) for judge, count, cost in waiting)
        shares = [limit._replace(amount=limit.amount * self._share) for limit in self._spending.limits]
        return [_balance(limit, spent, reserved) for limit in shares]

    @staticmethod
    def put(connection: sqlite3.Connection, judge: str, trace_id: str) -> None:
        """Put a pick on the account, in the caller's transaction."""
        connection.execute("INSERT OR REPLACE INTO always_pick VALUES (?, ?, NULL, 0, 0)", (trace_id, judge))

    @staticmethod
    def book(connection: sqlite3.Connection, judge: str, trace_id: str, usage: Usage, now: float) -> None:
        """Add what a trace cost, in the caller's transaction; do nothing for a trace that is not on the account."""
        connection.execute(
            "UPDATE always_pick SET spent_at = ?, tokens = tokens + ?, usd = usd + ? WHERE trace_id = ? AND judge = ?",
            (now, usage.tokens, usage.cost_usd or 0.0, trace_id, judge),
        )


def _limits(judge: str, budget: Budget) -> list[Limit]:
    return [
        Limit(judge, unit, window, amount)
        for unit in UNITS
        for window in SECONDS
        if (amount := getattr(budget, f"{unit}_per_{window}")) is not None
    ]


def _balance(limit: Limit, spent: Mapping[Window, _Sums], reserved: _Sums) -> Balance:
    scope = limit.judge, limit.unit
    return Balance(limit, spent[limit.window].get(scope, 0.0), reserved.get(scope, 0.0))


def _sums(rows: Iterable[Iterable[Any]]) -> _Sums:
    """Add up rows of judge, tokens and US dollars, for each judge and for all."""
    sums: _Sums = {}
    for judge, tokens, usd in rows:
        for unit, amount in (("tokens", tokens), ("usd", usd)):
            for scope in (judge, ALL):
                sums[scope, unit] = sums.get((scope, unit), 0.0) + amount
    return sums
