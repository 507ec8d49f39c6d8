"""The Prometheus metrics that count scores as they come in, each with the trace id as exemplar."""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.contract import Tier

SCORE_BUCKETS = tuple(tenths / 10 for tenths in range(1, 11))
FRESHNESS_BUCKETS = (0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class JudgeMetrics:
    """Counts scores, errors, tokens and cost as they come in; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Prometheus would store each _created as a series of its own.
        disable_created_metrics()
        self._evaluations = Counter(
            "qualitrace_evaluations_total",
            "Scores given; a trace that is judged again counts again.",
            ("judge", "tier", "service", "result"),
            registry=registry,
        )
        self._score = Histogram(
            "qualitrace_score",
            "Scores given, from 0 (bad) to 1 (good).",
            ("judge", "tier", "service"),
            buckets=SCORE_BUCKETS,
            registry=registry,
        )
        self._freshness = Histogram(
            "qualitrace_freshness_seconds",
            "Time from the end of the trace's root span until its score was exported.",
            ("judge", "service"),
            buckets=FRESHNESS_BUCKETS,
            registry=registry,
        )
        self._duration = Histogram(
            "qualitrace_judge_duration_seconds",
            "Time a judge took for one sample, whether it came to a verdict or not.",
            ("judge", "tier"),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "qualitrace_judge_tokens_total",
            "Tokens that judges used, input and output.",
            ("judge", "tier"),
            registry=registry,
        )
        self._cost = Counter(
            "qualitrace_judge_cost_usd_total",
            "US dollars that judges cost, as far as prices are known.",
            ("judge", "tier"),
            registry=registry,
        )
        self._errors = Counter(
            "qualitrace_judge_errors_total",
            "Calls of a judge without a verdict, by kind of error.",
            ("judge", "kind"),
            registry=registry,
        )

    def observe(self, row: ScoreRow, root_ended_at: float, now: float) -> None:
        """Count a score that was just exported.

        Args:
            row: the score.
            root_ended_at: end of the trace's root span by the application's clock, Unix seconds.
            now: Unix seconds.
        """
        exemplar = {"trace_id": row.trace_id.removeprefix("tr-")}
        self._evaluations.labels(row.judge, row.tier, row.service, row.label).inc(exemplar=exemplar)
        self._score.labels(row.judge, row.tier, row.service).observe(row.value, exemplar)
        # The application's clock may be ahead of ours.
        freshness = max(0.0, now - root_ended_at)
        self._freshness.labels(row.judge, row.service).observe(freshness, exemplar)
        self._tokens.labels(row.judge, row.tier).inc(row.tokens)
        self._cost.labels(row.judge, row.tier).inc(row.cost_usd or 0.0)

    def observe_duration(self, judge: str, tier: Tier, seconds: float) -> None:
        """Count the time that one call of a judge took."""
        self._duration.labels(judge, tier).observe(seconds)

    def count_error(self, judge: str, kind: str) -> None:
        """Count a call without a verdict; `kind` is one of a few fixed words."""
        self._errors.labels(judge, kind).inc()
