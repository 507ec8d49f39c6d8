"""The Prometheus metrics of judging, under `qualitrace_`.

`JudgeMetrics` counts as scores come in, with the trace id as exemplar. `StateCollector` reads at each scrape what the
state database knows, so these metrics outlive restarts.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import durationpy
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qualitrace_collector.config import Config
from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.alerts import AlertStatus
from qualitrace_monitors.estimate import Estimate, Estimator
from qualitrace_monitors.judges.contract import Tier
from qualitrace_monitors.notify import NotificationOutcome
from qualitrace_monitors.scores import ScoreRow

DEFAULT_WINDOW = 3600.0
"""Seconds over which quality is estimated, beside the windows of the alert rules."""

SCORE_BUCKETS = tuple(tenths / 10 for tenths in range(1, 11))
FRESHNESS_BUCKETS = (0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


def window_label(seconds: float) -> str:
    """Write a window as the `window` label does: `1h`, `5m`, `1h30m`."""
    return durationpy.to_str(timedelta(seconds=seconds))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSources:
    """Where `StateCollector` reads.

    Attributes:
        database: the state database.
        estimator: computes the quality over a window.
        alerts: lists every alert with its state.
        config: the configuration in force; its alert rules name further windows.
        clock: Unix seconds.
        journal_backlog: counts the acked requests that are not settled yet.
        receive_counts: requests by (protocol, outcome), as the receive process reports them.
        notification_counts: notifications by (receiver, outcome).
    """

    database: Database
    estimator: Estimator
    alerts: Callable[[], Sequence[AlertStatus]]
    config: Config
    clock: Callable[[], float]
    journal_backlog: Callable[[], int]
    receive_counts: Callable[[], Mapping[tuple[str, str], int]]
    notification_counts: Callable[[], Mapping[tuple[str, NotificationOutcome], int]]


class StateCollector(Collector):
    """Exposes the ledger, the estimates, the alerts and the backlogs, read at scrape time."""

    def __init__(self, sources: StateSources) -> None:
        self._sources = sources
        self._windows = sorted({DEFAULT_WINDOW, *(rule.window for rule in sources.config.alerts)})

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, also those without a sample yet."""
        sources = self._sources
        yield from _ledger_metrics(Ledger(sources.database).counters())
        yield from _estimate_metrics(self._estimates())
        yield _alert_metric(sources.alerts())
        yield _counter(
            "qualitrace_notifications_total",
            "Notifications, by receiver and outcome.",
            ("receiver", "outcome"),
            sources.notification_counts().items(),
        )
        yield _counter(
            "qualitrace_receive_requests_total",
            "OTLP requests, by protocol and outcome.",
            ("protocol", "outcome"),
            sources.receive_counts().items(),
        )
        yield GaugeMetricFamily(
            "qualitrace_journal_backlog_requests",
            "OTLP requests that were acked and are not settled yet.",
            value=sources.journal_backlog(),
        )

    def _estimates(self) -> list[Estimate]:
        now = self._sources.clock()
        return [estimate for window in self._windows for estimate in self._sources.estimator.estimates(now, window)]


def _ledger_metrics(rows: Iterable[sqlite3.Row]) -> Iterable[Metric]:
    traces = CounterMetricFamily(
        "qualitrace_traces_total",
        "Traces by outcome; one whose outcome was replaced counts in both.",
        labels=("service", "outcome"),
    )
    judgements = CounterMetricFamily(
        "qualitrace_judgements_total",
        "Judgements by outcome; a trace that is judged again counts again.",
        labels=("judge", "service", "outcome"),
    )
    waiting: dict[str, int] = {}
    for row in rows:
        if not row["judge"]:
            traces.add_metric((row["service"], row["outcome"]), row["counted"])
        elif row["outcome"] == "queued":
            waiting[row["judge"]] = waiting.get(row["judge"], 0) + row["total"]
        else:
            judgements.add_metric((row["judge"], row["service"], row["outcome"]), row["counted"])
    yield traces
    yield judgements
    gauge = GaugeMetricFamily("qualitrace_judgements_waiting", "Samples that wait for their judge.", labels=("judge",))
    for judge, count in waiting.items():
        gauge.add_metric((judge,), count)
    yield gauge


_QUALITY: tuple[tuple[str, str, Callable[[Estimate], float | None]], ...] = (
    ("pass_rate", "Share of answers that pass, estimated over the window.", lambda e: e.pass_rate),
    ("pass_rate_lower", "Lower end of the pass rate's confidence interval.", lambda e: e.pass_rate_interval[0]),
    ("pass_rate_upper", "Upper end of the pass rate's confidence interval.", lambda e: e.pass_rate_interval[1]),
    ("pass_rate_samples", "Scores that the estimate of the pass rate rests on.", lambda e: e.samples),
    ("mean_score", "Mean score, estimated over the window.", lambda e: e.mean_score),
    ("mean_score_lower", "Lower end of the mean score's confidence interval.", lambda e: e.mean_score_interval[0]),
    ("mean_score_upper", "Upper end of the mean score's confidence interval.", lambda e: e.mean_score_interval[1]),
    ("unsure_share", "Share of answers that the judge could not decide.", lambda e: e.unsure_share),
)


def _estimate_metrics(estimates: Sequence[Estimate]) -> Iterable[Metric]:
    for name, help_text, value in _QUALITY:
        labels = ("judge", "tier", "service", "window")
        family = GaugeMetricFamily(f"qualitrace_{name}", help_text, labels=labels)
        for estimate in estimates:
            number = value(estimate)
            if number is not None:
                window = window_label(estimate.window)
                family.add_metric((estimate.judge, estimate.tier, estimate.service, window), number)
        yield family


def _alert_metric(statuses: Iterable[AlertStatus]) -> Metric:
    family = GaugeMetricFamily(
        "qualitrace_alert_state",
        "Whether the alert is in the state (1) or not (0).",
        labels=("alert", "service", "judge", "severity", "state"),
    )
    for status in statuses:
        rule = status.rule
        for state in ("pending", "firing"):
            labels = (rule.name, status.service, rule.judge, rule.severity, state)
            family.add_metric(labels, int(status.state == state))
    return family


def _counter(name: str, help_text: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], int]]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family
