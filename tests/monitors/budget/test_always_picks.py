"""The part of the budgets for traces that are always judged: what it bounds, and that estimates stay unbiased."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from math import sqrt
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from qualitrace_collector.config import parse_config
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.state import Database, JudgeQueue, Ledger
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import AlwaysPicks, Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.contract import JudgeError, NotApplicable, Usage
from qualitrace_monitors.judges.settings import Budget
from qualitrace_monitors.metrics.scrape import BudgetCollector
from support.judging import Monitor, verdict
from support.mlflow_db import converted
from support.otlp import rag_trace

NOON = 1_800_014_400.0 + 12 * 3600.0 - 1_800_014_400.0 % 86_400


@cache
def spans(*, failed: bool) -> Sequence:
    """Return the spans of a trace; its id is that of who holds it."""
    error = "boom" if failed else ""
    return converted(rag_trace(1, question="Q?", answer="A.", passages=["P."], root_error=error), "shop").stored


class Traffic:
    """Traces that a collector records while the budget is kept; a call takes 100 tokens."""

    def __init__(
        self, database: Database, *, rate: float = 0.1, share: float = 0.5, tokens: int = 1000, **judge: Any
    ) -> None:
        self.now = NOON
        self.database = database
        self.random = random.Random(17)
        entry = {"name": "safety", "model": "openai:/m", **judge}
        sampling = {"rate": rate, "always_budget_share": share}
        self.config = parse_config(
            {"judges": [entry], "sampling": sampling, "budget": {"tokens_per_day": tokens}}, Config
        )
        self.spending = Spending(self.config.budget, self.config.judges, database)
        with database.transaction() as connection:
            Spending.book(connection, "safety", "tr-0", Usage(100, 0), NOON)
        self.restart()

    def restart(self) -> None:
        self.pacing = Pacing(self.config.judges, self.config.sampling, self.spending, self.database, lambda: self.now)
        self.recorder = Recorder(self.config, self.database, TraceMetrics(CollectorRegistry()), self.pacing)

    def run(self, *failed: bool) -> list[StoredTrace]:
        """Record traces at once, that failed or not."""
        traces = [
            StoredTrace(
                trace_id=f"tr-{self.random.getrandbits(128):032x}",
                service="shop",
                tracestate="",
                spans=spans(failed=one),
                known=False,
            )
            for one in failed
        ]
        self.recorder.finish(traces, self.now)
        return traces

    def picked(self) -> dict[str, float]:
        rows = self.database.connection().execute("SELECT trace_id, inclusion_probability FROM judgement")
        return {row["trace_id"]: row["inclusion_probability"] for row in rows}

    def left(self) -> float:
        [balance] = self.pacing.always.balances(self.now)
        return balance.remaining


def test_an_error_storm_leaves_the_sample_its_budget_and_the_estimate_unbiased(database: Database) -> None:
    """Of 6,000 traces in a minute four fifths fail: half of the budget judges 2,000 of these, the rest is a sample."""
    traffic = Traffic(database, tokens=400_000)
    traces: list[StoredTrace] = []
    for _ in range(6):
        traces += traffic.run(*(traffic.random.random() < 0.8 for _ in range(1000)))
        traffic.now += 10
    picked = traffic.picked()
    failed = {trace.trace_id for trace in traces if trace.spans is spans(failed=True)}
    assert traffic.left() == 0
    assert sum(probability == 1 for probability in picked.values()) == 2000
    assert set(traffic.spending.reserve("safety", list(picked), traffic.now, 60)) == set(picked)
    for group in (failed, {trace.trace_id for trace in traces} - failed):
        weights = [1 / picked[trace_id] for trace_id in group & picked.keys()]
        deviation = sqrt(sum(weight * (weight - 1) for weight in weights))
        assert len(weights) >= 20
        assert sum(weights) == pytest.approx(len(group), abs=4 * deviation)


def test_without_a_limit_all_are_judged(database: Database) -> None:
    """A local judge, and a model without a budget, take every failed trace, and no account is kept of them."""
    config = parse_config(
        {"judges": ["toxicity", {"name": "safety", "model": "openai:/m"}], "sampling": {"rate": 0}}, Config
    )
    for budget in (Budget(), Budget(tokens_per_day=0)):
        spending = Spending(budget, config.judges, database)
        pacing = Pacing(config.judges, config.sampling, spending, database, lambda: NOON)
        admitted = [pacing.admits(database.connection(), "tr-1", judge) for judge in config.judges]
        assert admitted == [True, not spending.limits]
    assert database.connection().execute("SELECT count(*) FROM always_pick").fetchone()[0] == 0


def test_before_the_first_call_picks_cost_what_the_price_list_says(database: Database) -> None:
    """A storm that comes before any call was paid does not take all of a budget in dollars: nothing looks free."""
    judge = {"name": "safety", "model": "openai:/gpt-4o-mini"}
    config = parse_config({"judges": [judge], "budget": {"usd_per_day": 0.01}}, Config)
    pacing = Pacing(
        config.judges, config.sampling, Spending(config.budget, config.judges, database), database, lambda: NOON
    )
    with database.transaction() as connection:
        admitted = sum(pacing.admits(connection, f"tr-{number}", config.judges[0]) for number in range(100))
    assert admitted == 34  # half a cent at 0.15 dollars a million input tokens, the last one begun


def test_a_restart_forgets_no_pick(database: Database) -> None:
    """The account outlives the process: of ten calls five are for failed traces, and they are counted once."""
    traffic = Traffic(database, rate=0)
    traffic.run(*[True] * 3)
    traffic.restart()
    traffic.run(*[True] * 4)
    assert len(traffic.picked()) == 5
    assert {row["total"] for row in Ledger(database).totals() if row["outcome"] == "sampled_out"} == {2}


def test_a_scorer_that_brings_its_own_model_is_bounded_like_a_judge(database: Database) -> None:
    """Of seven failed traces five use up its part, though the configuration names no model."""
    traffic = Traffic(database, rate=0, model=None, scorer="mlflow.Safety")
    traffic.run(*[True] * 7)
    assert len(traffic.picked()) == 5


def test_a_pick_takes_what_it_is_expected_to_cost_until_it_has_cost_it(database: Database) -> None:
    """Three picks of 100 tokens each; one cost 250, one nothing; and the next day begins with what still waits."""
    traffic = Traffic(database)
    first, second, _ = traffic.run(True, True, True)
    assert traffic.left() == 200
    with database.transaction() as connection:
        AlwaysPicks.book(connection, "safety", first.trace_id, Usage(200, 50), traffic.now)
        AlwaysPicks.book(connection, "safety", second.trace_id, Usage(), traffic.now)
    assert traffic.left() == 500 - 250 - 100
    traffic.now += 86_400
    assert traffic.left() == 500 - 100


def test_a_pick_that_matches_no_more_is_off_the_account(database: Database) -> None:
    """Its room is for others, and it is paid for by nobody."""
    traffic = Traffic(database, match={"service": "shop"})
    [trace] = traffic.run(True)
    assert traffic.left() == 400
    with database.transaction() as connection:
        traffic.recorder.sampler.enqueue(connection, [replace(trace, service="bank", known=True)], NOON)
    assert traffic.left() == 500
    totals = {row["outcome"]: row["total"] for row in Ledger(database).totals() if row["judge"]}
    assert totals == {"not_matched": 1}


def test_a_judges_own_limit_and_that_of_all_both_bind(database: Database) -> None:
    """The judge's part of 200 tokens pays for two picks, though all judges together may take five."""
    traffic = Traffic(database, rate=0, budget={"tokens_per_hour": 400})
    traffic.run(*[True] * 9)
    assert len(traffic.picked()) == 2


def test_what_is_disliked_later_stays_out_without_room(database: Database) -> None:
    """A trace that was sampled out is picked after the fact, with probability 0, only while there is room."""
    traffic = Traffic(database, rate=0, tokens=200)
    one, other = traffic.run(False, False)
    for trace in (one, other):
        with database.transaction() as connection:
            traffic.recorder.sampler.queue_after_dislike(connection, trace, NOON)
    assert traffic.picked() == {one.trace_id: 0.0}
    totals = {row["outcome"]: row["total"] for row in Ledger(database).totals() if row["judge"]}
    assert totals == {"queued": 1, "sampled_out": 1}


@pytest.mark.parametrize(("share", "for_failures"), [(0.5, 72_000), (0.1, 18_360 - 500)])
def test_the_rate_leaves_what_failed_traces_will_take(database: Database, share: float, for_failures: int) -> None:
    """5 failures and 30 others in 5 minutes are 720 and 4,320 until midnight; the first may take no more than their part."""
    traffic = Traffic(database, rate=1, share=share, tokens=100 + 35 * 100 + 180_000)
    traffic.now -= 1
    traffic.run(*[True] * 5, *[False] * 30)
    traffic.now = NOON
    traffic.restart()
    assert traffic.pacing.effective_rate(traffic.config.judges[0]) == pytest.approx((180_000 - for_failures) / 432_000)


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        (verdict(input_tokens=70), 70),
        (NotApplicable("no passages"), 0),
        (JudgeError("no verdict", Usage(30, 10)), 40),
    ],
)
def test_every_outcome_settles_a_pick(make: Callable[..., Monitor], answer: Any, tokens: int) -> None:
    """What was asked, paid or not, no longer waits on the account."""
    monitor = make("llm", tokens_per_day=1000)
    trace_id = monitor.put(1)
    with monitor.database.transaction() as connection:
        AlwaysPicks.put(connection, "relevance", trace_id)
    monitor.judge.answers = [answer]
    monitor.worker.step()
    assert account(monitor) == (tokens, 0)


@pytest.mark.parametrize(("label", "tokens"), [("pass", 0), ("unsure", 70)])
def test_a_cascade_settles_what_the_model_is_not_asked(make: Callable[..., Monitor], label: str, tokens: int) -> None:
    """A sure local verdict frees what the pick took; an unsure one keeps it until the model has answered."""
    monitor = make(tokens_per_day=1000)
    monitor.cascade(audit_rate=0.0)
    trace_id = monitor.put(1)
    with monitor.database.transaction() as connection:
        AlwaysPicks.put(connection, "relevance", trace_id)
    monitor.judge.answers = [verdict(label=label)]
    monitor.model.answers = [verdict(input_tokens=70)]
    monitor.worker.step()
    assert account(monitor)[1] == (1000 if label == "unsure" else 0)
    monitor.model_worker.step()
    assert account(monitor) == (tokens, 0)


def account(monitor: Monitor) -> tuple[float, float]:
    """Return what always judged traces cost, and what they are expected to, in tokens."""
    spending = Spending(monitor.budget, [], monitor.database)
    [balance] = AlwaysPicks(0.5, spending, monitor.database).balances(monitor.now)
    return balance.spent, balance.reserved


def test_picks_are_forgotten_with_their_judgements(database: Database) -> None:
    """The account does not grow for ever, and holds what is still to be judged."""
    traffic = Traffic(database)
    traffic.run(True)
    traffic.spending.prune(NOON)
    assert traffic.left() == 400
    with database.transaction() as connection:
        JudgeQueue.prune(connection, NOON + 1)
    traffic.spending.prune(NOON)
    assert traffic.left() == 500


def test_what_is_left_for_them_is_exported(database: Database) -> None:
    """Prometheus sees each limit's part."""
    traffic = Traffic(database)
    traffic.run(True)
    registry = CollectorRegistry()
    registry.register(BudgetCollector(traffic.config.judges, traffic.spending, traffic.pacing, lambda: traffic.now))
    line = 'qualitrace_budget_always_remaining{judge="*",unit="tokens",window="day"} 400.0'
    assert line in generate_latest(registry).decode()
