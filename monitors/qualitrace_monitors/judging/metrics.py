"""What judging counts, as it happens: scores, calls, errors, tokens and cost."""

from collections import Counter
from collections.abc import Iterable
from threading import Lock

from prometheus_client import CollectorRegistry

from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.contract import LABELS, Judge, Usage
from qualitrace_monitors.metrics import families


class JudgeMetrics:
    """Counts scores, errors, tokens and cost as they come in; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evaluations = families.EVALUATIONS.counter(registry)
        self._weight = families.EVALUATIONS_WEIGHT.counter(registry)
        self._weighted_value = families.EVALUATIONS_WEIGHTED_VALUE.counter(registry)
        self._score = families.SCORE.histogram(registry)
        self._freshness = families.FRESHNESS.histogram(registry)
        self._duration = families.JUDGE_DURATION.histogram(registry)
        self._tokens = families.JUDGE_TOKENS.counter(registry)
        self._cost = families.JUDGE_COST_USD.counter(registry)
        self._errors = families.JUDGE_ERRORS.counter(registry)
        self._lock, self._scored, self._failed = Lock(), Counter[str](), Counter[str]()

    def calls(self) -> dict[str, tuple[int, int]]:
        """Return, by judge, how many judgements came to a score, and how many calls failed, since the start."""
        with self._lock:
            names = {*self._scored, *self._failed}
            return {name: (self._scored[name], self._failed[name]) for name in names}

    def observe(self, row: ScoreRow, root_ended_at: float, now: float, *, first: bool = True) -> None:
        """Count a score that was just exported.

        Args:
            row: the score.
            first: whether it is the trace's first by this judge and tier.
            root_ended_at: end of the trace's root span by the application's clock, Unix seconds.
            now: Unix seconds.
        """
        exemplar = {"trace_id": row.trace_id.removeprefix("tr-")}
        self._start_service(row.judge, row.tier, row.service)
        with self._lock:
            self._scored[row.judge] += 1
        if first and row.inclusion_probability > 0:
            weight = 1 / row.inclusion_probability
            self._weight.labels(row.judge, row.tier, row.service, row.label).inc(weight)
            self._weighted_value.labels(row.judge, row.tier, row.service).inc(weight * row.value)
        self._evaluations.labels(row.judge, row.tier, row.service, row.label).inc(exemplar=exemplar)
        self._score.labels(row.judge, row.tier, row.service).observe(row.value, exemplar)
        # The application's clock may be ahead of ours.
        freshness = max(0.0, now - root_ended_at)
        self._freshness.labels(row.judge, row.service).observe(freshness, exemplar)

    def start(self, judge: Judge, services: Iterable[str]) -> None:
        """Begin the series of a judge and of its services at 0, so that Prometheus sees their first increase."""
        for service in services:
            self._start_service(judge.name, judge.tier, service)
        for kind in ("transient", "permanent"):
            self._errors.labels(judge.name, kind)
        self._duration.labels(judge.name, judge.tier)
        if judge.tier != "local":  # which asks no model
            for direction in ("input", "output"):
                for family in (self._tokens, self._cost):
                    family.labels(judge.name, judge.tier, judge.model, direction)

    def _start_service(self, judge: str, tier: str, service: str) -> None:
        for label in LABELS:  # a series that begins above 0 hides its first increase from Prometheus
            self._evaluations.labels(judge, tier, service, label)
            self._weight.labels(judge, tier, service, label)
        self._weighted_value.labels(judge, tier, service)

    def observe_call(self, judge: Judge, seconds: float, usage: Usage) -> None:
        """Count the time and the cost of one call of a judge, whether it came to a verdict or not."""
        self._duration.labels(judge.name, judge.tier).observe(seconds)
        labels = (judge.name, judge.tier, judge.model)
        for direction, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if tokens:
                self._tokens.labels(*labels, direction).inc(tokens)
        for direction, usd in _costs(usage).items():
            self._cost.labels(*labels, direction).inc(usd)

    def count_error(self, judge: str, kind: str) -> None:
        """Count a call without a verdict; `kind` is `transient` or `permanent`."""
        self._errors.labels(judge, kind).inc()
        with self._lock:
            self._failed[judge] += 1


def _costs(usage: Usage) -> dict[str, float]:
    """Return the US dollars by direction, as far as they are known."""
    if usage.cost_usd is None:
        return {}
    if usage.input_cost_usd is None:
        return {"unknown": usage.cost_usd}
    return {"input": usage.input_cost_usd, "output": usage.cost_usd - usage.input_cost_usd}
