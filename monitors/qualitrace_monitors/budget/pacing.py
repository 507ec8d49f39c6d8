"""Lowers the rates at which traces are picked, so that what is left of a budget lasts until its window ends.

The rate falls before traces are picked, and their inclusion probability is the lowered one, so estimates stay
unbiased. What was picked is judged, if need be when the next window begins. Traces that are always judged may take a
share of each limit; beyond it they are sampled like all others.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from qualitrace_collector.pipeline.settings import SampledJudge, Sampling
from qualitrace_collector.state import Database
from qualitrace_monitors.budget.spending import SECONDS, AlwaysPicks, Balance, Limit, Spending, Unit
from qualitrace_monitors.judges.build import llm_queue
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.judges.settings import JudgeConfig

LEAST_RATE = 0.01
"""The rate that even a spent budget leaves: the weights of a smaller sample would vary too much for an estimate."""
DEMAND_SECONDS = 300.0
"""How far back the demand for calls is measured."""
STEADY_SECONDS = 5.0
"""How long the measured rates are used: they change slowly, and every trace needs them."""


class Demand(NamedTuple):
    """Calls a second: for traces that are always judged, and for the others at the configured rates."""

    always: float
    others: float


class Pacing:
    """The rates that the budgets leave to the configured judges; `clock` gives Unix seconds.

    Attributes:
        always: the account of the traces that are always judged.
    """

    def __init__(
        self,
        judges: Sequence[JudgeConfig],
        sampling: Sampling,
        spending: Spending,
        database: Database,
        clock: Callable[[], float],
    ) -> None:
        self.always = AlwaysPicks(sampling.always_budget_share, spending, database)
        self._sampling = sampling
        self._spending = spending
        self._database = database
        self._clock = clock
        self._paid = {judge.name: judge for judge in judges if not judge.is_local}
        self._shares: dict[str, float] = {}
        self._costs: dict[str, dict[Unit, float]] = {}
        self._left_for_always: dict[Limit, float] = {}
        self._steady_until = 0.0

    def effective_rate(self, judge: SampledJudge, rate: float | None = None) -> float:
        """Return the share of traces that `judge` scores: the configured `rate`, or what its budgets pay for.

        The rates of all strata are lowered by the same factor. By default `rate` is that of the traces in none.
        """
        self._measure()
        rate = self._sampling.rate_of(judge) if rate is None else rate
        return max(min(rate, LEAST_RATE), rate * self._shares.get(judge.name, 1.0))

    def admits(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> bool:
        """Whether a trace that is always to be judged has room in its share of the budgets; if so, take the room.

        The pick is put on the account in the caller's transaction. Without room the trace is sampled as any other.
        """
        # Only the picks before it decide, never the trace's own randomness. So its probability, 1 with room and the
        # rate without, is known before it is picked, and the weights 1 / probability leave estimates unbiased.
        self._measure()
        limits = [limit for limit in self._left_for_always if judge.name in self._paid and limit.covers(judge.name)]
        if any(self._left_for_always[limit] <= 0 for limit in limits):
            return False
        if limits:
            AlwaysPicks.put(connection, judge.name, trace_id)
        for limit in limits:
            self._left_for_always[limit] -= self._costs[judge.name][limit.unit]
        return True

    def release(self, connection: sqlite3.Connection, trace_id: str, judge: SampledJudge) -> None:
        """Take a pick that will not be judged off the account, in the caller's transaction."""
        AlwaysPicks.book(connection, judge.name, trace_id, Usage(), self._clock())

    def _measure(self) -> None:
        now = self._clock()
        if not self._spending.limits or now < self._steady_until:
            return
        self._costs = {name: self._spending.expected_cost_of_pick(name, now) for name in self._paid}
        always = self.always.balances(now)
        self._left_for_always = {balance.limit: balance.remaining for balance in always}
        self._shares = self._affordable_shares(always, now)
        self._steady_until = now + STEADY_SECONDS

    def _affordable_shares(self, always: Sequence[Balance], now: float) -> dict[str, float]:
        """Return the share of its rates at which each paid judge spreads what its limits leave over their windows."""
        demand = {name: self._demand(judge, now) for name, judge in self._paid.items()}
        waiting = {name: self._waiting(judge) for name, judge in self._paid.items()}
        shares: dict[str, float] = {}
        for balance, share_for_always in zip(self._spending.balances(now), always, strict=True):
            costs = {name: self._costs[name][balance.limit.unit] for name in self._paid if balance.limit.covers(name)}
            seconds_left = SECONDS[balance.limit.window] - now % SECONDS[balance.limit.window]
            spend_on_always = seconds_left * sum(demand[name].always * cost for name, cost in costs.items())
            spend_on_others = seconds_left * sum(demand[name].others * cost for name, cost in costs.items())
            owed = sum(waiting[name] * cost for name, cost in costs.items())
            free = balance.remaining - min(share_for_always.remaining, spend_on_always) - owed
            share = min(1.0, max(0.0, free) / spend_on_others) if spend_on_others else 1.0
            for name in costs:
                shares[name] = min(shares.get(name, 1.0), share)
        return shares

    def _demand(self, judge: JudgeConfig, now: float) -> Demand:
        """Return the calls that the configured rates would make, from the traces that were picked at lower ones."""
        query = """
            SELECT count(*) FILTER (WHERE judge = :judge), count(*) FILTER (WHERE judge = :second_stage),
                count(always_pick.judge) FILTER (WHERE judge = :judge),
                total(max(1.0, rate / inclusion_probability)) FILTER (
                    WHERE judge = :judge AND inclusion_probability > 0 AND always_pick.judge IS NULL)
            FROM judgement LEFT JOIN always_pick USING (trace_id, judge) WHERE completed_at > :start"""
        values = {
            "judge": judge.name,
            "second_stage": llm_queue(judge.name),
            "start": now - DEMAND_SECONDS,
        }
        picked, asked, always, others_at_full_rate = self._database.connection().execute(query, values).fetchone()
        calls_per_pick = asked / max(1, picked) if judge.cascade is not None else 1.0
        per_second = calls_per_pick / DEMAND_SECONDS
        return Demand(always * per_second, others_at_full_rate * per_second)

    def _waiting(self, judge: JudgeConfig) -> int:
        queue = judge.name if judge.cascade is None else llm_queue(judge.name)
        query = "SELECT count(*) FROM judgement WHERE status = 'queued' AND judge = ?"
        return int(self._database.rows(query, (queue,))[0][0])
