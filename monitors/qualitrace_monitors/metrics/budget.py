"""The Prometheus metrics of what judges spend, what they may still spend, and the rates that this leaves them."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qualitrace_collector.config import Config
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Balance, Spending


class BudgetCollector(Collector):
    """Exposes the balances of all limits and the effective rates, read at scrape time; `clock` gives Unix seconds."""

    def __init__(self, config: Config, spending: Spending, pacing: Pacing, clock: Callable[[], float]) -> None:
        self._config = config
        self._spending = spending
        self._pacing = pacing
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, also those without a sample."""
        labels = ("judge", "window", "unit")
        spent = GaugeMetricFamily(
            "qualitrace_budget_spent", "What was spent of a limit in its current window.", labels=labels
        )
        remaining = GaugeMetricFamily(
            "qualitrace_budget_remaining",
            "What may still be spent of a limit, calls in flight deducted.",
            labels=labels,
        )
        always = GaugeMetricFamily(
            "qualitrace_budget_always_remaining",
            "What traces that are always judged may still take of a limit, those that wait deducted.",
            labels=labels,
        )
        now = self._clock()
        for balance in self._spending.balances(now):
            spent.add_metric(_labels(balance), balance.spent)
            remaining.add_metric(_labels(balance), balance.remaining)
        for balance in self._pacing.always.balances(now):
            always.add_metric(_labels(balance), balance.remaining)
        rate = GaugeMetricFamily(
            "qualitrace_effective_rate", "Share of all traffic that the judge scores now.", labels=("judge",)
        )
        for judge in self._config.judges:
            rate.add_metric((judge.name,), self._pacing.effective_rate(judge))
        yield from (spent, remaining, always, rate)


def _labels(balance: Balance) -> tuple[str, str, str]:
    return balance.limit.judge, balance.limit.window, balance.limit.unit
