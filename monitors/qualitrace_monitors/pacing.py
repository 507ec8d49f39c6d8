"""Lowers the rates at which traces are picked, so that what is left of a budget lasts until its window ends.

The rate falls before traces are picked, and their inclusion probability is the lowered one, so that estimates stay
unbiased; what was picked is judged, if need be when the next window begins.
"""

from collections.abc import Callable

from qualitrace_collector.config import Config
from qualitrace_collector.config.quality import JudgeConfig
from qualitrace_collector.state import Database
from qualitrace_monitors.budget import ALL, SECONDS, Balance, Spending
from qualitrace_monitors.judges.cascade import llm_queue

LEAST_RATE = 0.01
"""No rate is lowered below this: a sample of less could not be weighed against the others."""
DEMAND_SECONDS = 300.0
"""How far back the demand for judgements is measured."""
STEADY_SECONDS = 5.0
"""How long a rate is kept: it changes slowly, and every trace asks for it."""


class Pacing:
    """The effective rates of the configured judges; `clock` gives Unix seconds."""

    def __init__(self, config: Config, spending: Spending, database: Database, clock: Callable[[], float]) -> None:
        self._config = config
        self._spending = spending
        self._database = database
        self._clock = clock
        self._rates: dict[str, float] = {}
        self._steady_until = 0.0

    def effective_rate(self, judge: JudgeConfig) -> float:
        """Return the share of all traffic that `judge` scores: the configured one, or what its budgets pay for."""
        now = self._clock()
        if self._spending.limits and now >= self._steady_until:
            self._rates = self._lowered(now)
            self._steady_until = now + STEADY_SECONDS
        return self._rates.get(judge.name, self._config.judge_rate(judge))

    def _lowered(self, now: float) -> dict[str, float]:
        judges = {judge.name: judge for judge in self._config.judges if judge.model is not None}
        wanted = {name: self._wanted_per_second(judge, now) for name, judge in judges.items()}
        costs = {name: dict(zip(("tokens", "usd"), self._spending.expected(name), strict=True)) for name in judges}
        waiting = {name: self._waiting(judge) for name, judge in judges.items()}
        rates: dict[str, float] = {}
        for balance in self._spending.balances(now):
            scope = [name for name in judges if balance.limit.judge in (ALL, name)]
            unit = balance.limit.unit
            spend = sum(wanted[name] * costs[name][unit] for name in scope)
            free = balance.remaining - sum(waiting[name] * costs[name][unit] for name in scope)
            share = min(1.0, max(0.0, free) / _seconds_left(balance, now) / spend) if spend else 1.0
            for name in scope:
                full = self._config.judge_rate(judges[name])
                rates[name] = min(rates.get(name, full), max(min(full, LEAST_RATE), full * share))
        return rates

    def _wanted_per_second(self, judge: JudgeConfig, now: float) -> float:
        """Return the calls that the configured rate would make, from the traces that were picked at lower ones."""
        rate = self._config.judge_rate(judge)
        row = (
            self._database.connection()
            .execute(
                "SELECT coalesce(sum(max(1.0, ? / inclusion_probability)) FILTER (WHERE judge = ?), 0), "
                "count(*) FILTER (WHERE judge = ?), count(*) FILTER (WHERE judge = ?) FROM judgement "
                "WHERE completed_at > ? AND inclusion_probability > 0",
                (rate, judge.name, judge.name, llm_queue(judge.name), now - DEMAND_SECONDS),
            )
            .fetchone()
        )
        picked_at_full_rate, picked, asked = row
        calls_per_pick = asked / max(1, picked) if judge.cascade is not None else 1.0
        return picked_at_full_rate * calls_per_pick / DEMAND_SECONDS

    def _waiting(self, judge: JudgeConfig) -> int:
        name = judge.name if judge.cascade is None else llm_queue(judge.name)
        query = "SELECT count(*) FROM judgement WHERE status = 'queued' AND judge = ?"
        return int(self._database.connection().execute(query, (name,)).fetchone()[0])


def _seconds_left(balance: Balance, now: float) -> float:
    seconds = SECONDS[balance.limit.window]
    return seconds - now % seconds
