"""Budgets, and the rates that they leave."""

from typing import Any

import pytest

from qualitrace_collector.config import parse_config
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.contract import Usage
from qualitrace_monitors.judges.settings import Budget, JudgeConfig

NOON = 1_800_014_400.0 + 12 * 3600.0 - 1_800_014_400.0 % 86_400


def spent(database: Database, judge: str, tokens: int, now: float, usd: float | None = None) -> None:
    with database.transaction() as connection:
        Spending.book(connection, judge, "tr-1", Usage(tokens, 0, usd), now)


def test_two_processes_share_one_account(database: Database) -> None:
    """What one reserves, the other cannot: of five calls of 100 tokens, 300 tokens pay for three."""
    first, second = (Spending(Budget(tokens_per_hour=400), [], database) for _ in range(2))
    spent(database, "a", 100, NOON)
    granted = first.reserve("a", ["1", "2"], NOON, 60), second.reserve("a", ["3", "4", "5"], NOON, 60)
    assert [len(part) for part in granted] == [2, 1]
    assert first.exhausted(["a", "b"], NOON) == {"a", "b"}


def test_a_reservation_of_a_dead_process_expires(database: Database) -> None:
    """Its tokens may be spent by others once the lease is over."""
    spending = Spending(Budget(tokens_per_day=200), [], database)
    spent(database, "a", 100, NOON)
    spending.reserve("a", ["1"], NOON, 60)
    assert spending.exhausted(["a"], NOON + 59) == {"a"}
    assert spending.exhausted(["a"], NOON + 60) == set()


def test_a_limit_of_one_judge_is_no_limit_of_another(database: Database) -> None:
    """Only the judge whose own budget is spent has to wait."""
    judges = [JudgeConfig(name="safety", model="openai:/m", budget=Budget(usd_per_day=1))]
    spending = Spending(Budget(), judges, database)
    spent(database, "safety", 10, NOON, usd=1.0)
    assert spending.exhausted(["safety", "toxicity"], NOON) == {"safety"}


@pytest.mark.parametrize(("window", "later"), [("hour", 3600), ("day", 86_400)])
def test_a_window_ends_on_the_clock(database: Database, window: str, later: int) -> None:
    """The account of an hour or a day starts anew with the next one, and not a second before."""
    spending = Spending(Budget.model_validate({f"tokens_per_{window}": 100}), [], database)
    spent(database, "a", 100, NOON)
    end = NOON - NOON % later + later
    assert spending.exhausted(["a"], end - 1) == {"a"}
    assert spending.exhausted(["a"], end) == set()


def paced(database: Database, remaining: int, picked: int, **judge: Any) -> float:
    """Return the rate at noon of a judge with rate 0.5 and calls of 100 tokens; `picked` traces in five minutes."""
    entry = {"name": "safety", "model": "openai:/m", "rate": 0.5, **judge}
    config = parse_config({"judges": [entry], "budget": {"tokens_per_day": 100 + remaining}}, Config)
    spent(database, "safety", 100, NOON)
    with database.transaction() as connection:
        for number in range(picked):
            task = JudgeTask(
                trace_id=f"tr-{number}",
                judge="safety",
                service="s",
                sample=Sample(outputs=str(number)),
                inclusion_probability=0.5,
                root_ended_at=NOON,
                completed_at=NOON - 1,
                rate=0.5,
            )
            JudgeQueue.put(connection, task)
            JudgeQueue.finish(connection, task, "scored")
    pacing = Pacing(
        config.judges, config.sampling, Spending(config.budget, config.judges, database), database, lambda: NOON
    )
    return pacing.effective_rate(config.judges[0])


def test_a_rate_is_lowered_to_what_lasts_until_the_window_ends(database: Database) -> None:
    """30 calls in 5 minutes at rate 0.5 are 4,320 until midnight: tokens for 1,080 leave a quarter of the rate."""
    assert paced(database, 108_000, 30) == pytest.approx(0.125)


def test_verdicts_that_cost_nothing_lower_no_rate(database: Database) -> None:
    """Where three of four verdicts come from the cache, tokens for a quarter of the calls suffice."""
    with database.transaction() as connection:
        for _ in range(3):
            Spending.book_cached(connection, "safety", NOON)
    assert paced(database, 108_000, 30) == 0.5


def test_a_budget_that_suffices_lowers_nothing(database: Database) -> None:
    """The configured rate holds while the budget lasts."""
    assert paced(database, 1_000_000, 30) == 0.5


def test_no_rate_falls_below_a_hundredth(database: Database) -> None:
    """A spent budget leaves a small rate, whose samples wait, so that the rate never jumps to nothing."""
    assert paced(database, 0, 30) == 0.01


def test_a_spent_limit_refuses_a_call_of_unknown_price(database: Database) -> None:
    """What costs nothing as far as is known needs no money, but gets none of a limit that is used up."""
    spending = Spending(Budget(usd_per_hour=1), [], database)
    assert spending.reserve("unpriced", ["1", "2"], NOON, 60) == {"1", "2"}
    spent(database, "priced", 10, NOON, usd=1.0)
    assert spending.reserve("unpriced", ["3"], NOON, 60) == set()


def test_without_a_budget_the_configured_rate_holds(database: Database) -> None:
    """Nothing is measured where there is nothing to keep."""
    config = parse_config({"judges": [{"name": "safety", "rate": 0.3}]}, Config)
    spending = Spending(config.budget, config.judges, database)
    assert (
        Pacing(config.judges, config.sampling, spending, database, lambda: NOON).effective_rate(config.judges[0]) == 0.3
    )
