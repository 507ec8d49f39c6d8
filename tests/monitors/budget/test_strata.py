"""Rates that differ by match: a budget lowers all alike, and estimates and alerts stand for the traffic as it is."""

import random
from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from qualitrace_collector.config import parse_config
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.watch import Watch
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.config import Config
from qualitrace_monitors.judges.contract import Usage
from support.mlflow_db import converted
from support.otlp import chat_span, span

NOON = 1_800_014_400.0 + 12 * 3600.0 - 1_800_014_400.0 % 86_400
RATES = {"/rare": 0.5, "/usual": 0.05, "/tail": 0.2}
SHARE_RARE = 0.3


def spans(route: str) -> Sequence[AnySpan]:
    """Return the spans of a trace of a route; its id is that of who holds it."""
    root = span(1, 1, http__route=route)
    return converted([root, chat_span(1, 2, 1, question="Q?", answer="A.")], "shop").stored


class Traffic:
    """Traces of three routes that a collector records; each route has a rate, and a call takes 100 tokens."""

    def __init__(self, database: Database, tokens: int | None = None) -> None:
        rates = [{"match": {"route": route}, "rate": RATES[route]} for route in ("/rare", "/usual")]
        rates.append({"match": {"service": "bank"}, "rate": 0.001})
        raw = {
            "judges": [{"name": "safety", "model": "openai:/m"}],
            "sampling": {"rate": RATES["/tail"], "rates": rates},
            "budget": {"tokens_per_day": tokens},
        }
        config = parse_config(raw, Config)
        spending = Spending(config.budget, config.judges, database)
        with database.transaction() as connection:
            Spending.book(connection, "safety", "tr-0", Usage(100, 0), NOON)
        self.now, self.database, self.random, self.judge = NOON, database, random.Random(5), config.judges[0]
        self.pacing = Pacing(config.judges, config.sampling, spending, database, lambda: self.now)
        self.recorder = Recorder(config, database, TraceMetrics(CollectorRegistry()), self.pacing)
        self.spans = {route: spans(route) for route in RATES}

    def run(self, route: str, count: int) -> None:
        """Record traces at once."""
        ids = [f"tr-{self.random.getrandbits(128):032x}" for _ in range(count)]
        found = [StoredTrace(trace_id=trace_id, service="shop", spans=self.spans[route]) for trace_id in ids]
        self.recorder.finish(found, self.now)

    def picked(self, route: str) -> list[tuple[float, float]]:
        """Return probability and weight of what was picked of a route."""
        query = "SELECT inclusion_probability, weight FROM judgement WHERE sample LIKE ?"
        return [tuple(row) for row in self.database.connection().execute(query, (f'%"route":"{route}"%',))]


def test_the_weights_are_those_of_the_traffic(database: Database) -> None:
    """The budget is short in between: the sum of 1 / probability is what came, and bets weigh in the same proportion."""
    traffic, came = Traffic(database, tokens=1_000_000), {"/rare": 300, "/usual": 1000, "/tail": 200}
    for _ in range(4):
        for route, count in came.items():
            traffic.run(route, count)
        traffic.now += 30
    assert traffic.pacing.effective_rate(traffic.judge, 0.5) < 0.25
    for route, count in came.items():
        picked = traffic.picked(route)
        chances = {probability for probability, _ in picked}
        assert max(chances) == RATES[route]
        assert min(chances) < RATES[route] / 2
        deviation = sqrt(sum((1 - chance) / chance**2 for chance, _ in picked))
        assert sum(1 / chance for chance, _ in picked) == pytest.approx(4 * count, abs=4 * deviation)
        # Relative to the rate of the rarest, as it was then; the stratum of another service is none of it.
        least = [RATES["/usual"] * chance / RATES[route] for chance, _ in picked]
        assert [weight for _, weight in picked] == pytest.approx(
            [max(0.01, rate) / chance for rate, (chance, _) in zip(least, picked, strict=True)]
        )


def test_the_calls_at_the_full_rates_decide_what_a_budget_pays_for(database: Database) -> None:
    """In 5 minutes 15, 5 and 4 calls at the configured rates: tokens for half of what follows halve each rate."""
    wanted, tokens = {"/rare": 15, "/usual": 5, "/tail": 4}, 200 + 24 * 100 + 24 * 144 * 100 // 2
    traffic = Traffic(database, tokens)
    traffic.now -= 1
    for route, calls in wanted.items():
        while len(traffic.picked(route)) < calls:
            traffic.run(route, 1)
    traffic.now = NOON
    fresh = Traffic(database, tokens)
    for rate in RATES.values():
        assert fresh.pacing.effective_rate(fresh.judge, rate) == pytest.approx(rate / 2)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [True, False])
def test_false_alarms_are_as_rare_as_promised(database: Database, weighted: bool) -> None:
    """The rare route, of which ten times as much is judged, passes 60 %, the usual one 89 %; together 80 %, the threshold.

    Without the weights every stream is a false alarm.
    """
    traffic, streams, period = Traffic(database), 400, 3_000
    weights = {}
    for route in ("/rare", "/usual"):
        traffic.run(route, 200)
        [weights[route]] = {weight for _, weight in traffic.picked(route)}
    judged = SHARE_RARE * RATES["/rare"], (1 - SHARE_RARE) * RATES["/usual"]
    generator, watch = np.random.default_rng(11), Watch(0.8, 0.05, streams)
    fired = np.zeros(streams, dtype=np.bool_)
    for number in range(period):
        rare = generator.random(streams) < judged[0] / sum(judged)
        passed = generator.random(streams) < np.where(rare, 0.6, (0.8 - SHARE_RARE * 0.6) / (1 - SHARE_RARE))
        weight = np.where(rare, weights["/rare"], weights["/usual"]) if weighted else 1.0
        watch.take(passed, weight, 1 / period, number * 6.0)
        fired |= watch.firing
    assert fired.mean() <= 0.05 if weighted else fired.all()
