"""What judging counts, as it happens: scores, calls, errors, tokens and cost."""

from prometheus_client import CollectorRegistry

from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.contract import LABELS, Usage
from qualitrace_monitors.metrics import families


class JudgeMetrics:
    """Counts scores, errors, tokens and cost as they come in; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evaluations = families.EVALUATIONS.counter(registry)
        self._score = families.SCORE.histogram(registry)
        self._freshness = families.FRESHNESS.histogram(registry)
        self._duration = families.JUDGE_DURATION.histogram(registry)
        self._tokens = families.JUDGE_TOKENS.counter(registry)
        self._cost = families.JUDGE_COST_USD.counter(registry)
        self._errors = families.JUDGE_ERRORS.counter(registry)

    def observe(self, row: ScoreRow, root_ended_at: float, now: float) -> None:
        """Count a score that was just exported.

        Args:
            row: the score.
            root_ended_at: end of the trace's root span by the application's clock, Unix seconds.
            now: Unix seconds.
        """
        exemplar = {"trace_id": row.trace_id.removeprefix("tr-")}
        for label in LABELS:  # a series that begins above 0 hides its first increase from Prometheus
            self._evaluations.labels(row.judge, row.tier, row.service, label)
        self._evaluations.labels(row.judge, row.tier, row.service, row.label).inc(exemplar=exemplar)
        self._score.labels(row.judge, row.tier, row.service).observe(row.value, exemplar)
        # The application's clock may be ahead of ours.
        freshness = max(0.0, now - root_ended_at)
        self._freshness.labels(row.judge, row.service).observe(freshness, exemplar)

    def start(self, judge: str, tier: str) -> None:
        """Begin the series of a judge at 0, so that Prometheus sees their first increase."""
        for kind in ("transient", "permanent"):
            self._errors.labels(judge, kind)
        for family in (self._duration, self._tokens, self._cost):
            family.labels(judge, tier)

    def observe_call(self, judge: str, tier: str, seconds: float, usage: Usage) -> None:
        """Count the time and the cost of one call of a judge, whether it came to a verdict or not."""
        self._duration.labels(judge, tier).observe(seconds)
        self._tokens.labels(judge, tier).inc(usage.tokens)
        self._cost.labels(judge, tier).inc(usage.cost_usd or 0.0)

    def count_error(self, judge: str, kind: str) -> None:
        """Count a call without a verdict; `kind` is `transient` or `permanent`."""
        self._errors.labels(judge, kind).inc()
