"""The Prometheus metrics that are read from the state database and the journal at each scrape.

They are true across restarts: the ledger and what was received, the quality with its interval, the alerts.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import durationpy
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qualitrace_collector.config import Config
from qualitrace_collector.state import CoverageTotals, Database, DeadLetters, Ledger
from qualitrace_monitors.alerts import AlertStatus
from qualitrace_monitors.estimate import Estimate, Estimator
from qualitrace_monitors.notify import NotificationOutcome

DEFAULT_WINDOW = 3600.0
"""Seconds over which quality is estimated, beside the windows of the alert rules."""


def window_label(seconds: float) -> str:
    """Write a window as the `window` label does: `1h`, `5m`, `1h30m`."""
    return durationpy.to_str(timedelta(seconds=seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSources:
    """Where `StateCollector` reads.

    Attributes:
        database: the state database.
        estimator: computes the quality over a window.
        alerts: lists every alert with its state.
        config: the configuration in force; its alert rules name further windows.
        clock: Unix seconds.
        journal_backlog: counts the requests that were acked and are not settled yet.
        receive_counts: what the receive process counted, by name and by door or reason.
        notification_counts: notifications by receiver and outcome.
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
        yield from _coverage_metrics(CoverageTotals(sources.database).totals())
        yield from _estimate_metrics(self._estimates())
        yield _alert_metric(sources.alerts())
        yield _notification_metric(sources.notification_counts())
        yield from _received_metrics(sources.receive_counts())
        yield GaugeMetricFamily(
            "qualitrace_journal_backlog_requests",
            "OTLP requests that were acked and are not settled yet.",
            value=sources.journal_backlog(),
        )
        yield GaugeMetricFamily(
            "qualitrace_dead_letters",
            "Traces and requests that were given up and wait to be replayed or dropped.",
            value=DeadLetters(sources.database).count(),
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


def _coverage_metrics(rows: Iterable[sqlite3.Row]) -> Iterable[Metric]:
    labels = ("service", "scope", "dialect", "content")
    lacking = CounterMetricFamily(
        "qualitrace_traces_lacking_total", "Complete traces without the content.", labels=labels
    )
    checked = CounterMetricFamily(
        "qualitrace_traces_checked_total", "Complete traces that should have the content.", labels=labels
    )
    for row in rows:
        values = [row[label] for label in labels]
        lacking.add_metric(values, row["lacking"])
        checked.add_metric(values, row["traces"])
    yield lacking
    yield checked


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


def _notification_metric(counts: Mapping[tuple[str, NotificationOutcome], int]) -> Metric:
    family = CounterMetricFamily(
        "qualitrace_notifications_total", "Notifications by outcome.", labels=("receiver", "outcome")
    )
    for labels, count in counts.items():
        family.add_metric(labels, count)
    return family


_RECEIVED = (
    ("requests_received", "door", "OTLP requests taken."),
    ("requests_refused", "reason", "OTLP requests answered with an error."),
    ("bytes_received", "door", "Size of the OTLP requests taken."),
    ("spans_received", "door", "Spans taken."),
    ("spans_rejected", "reason", "Spans left out of a request for good."),
    ("log_records_received", "door", "Log records taken."),
    ("log_records_rejected", "reason", "Log records left out of a request for good."),
    ("texts_repaired", "signal", "Texts in OTLP requests that were not UTF-8, and had that replaced."),
    ("feedback_received", "source", "People's opinions taken; source is user or expert."),
)


def _received_metrics(counts: Mapping[tuple[str, str], int]) -> Iterable[Metric]:
    for name, label, help_text in _RECEIVED:
        family = CounterMetricFamily(f"qualitrace_otlp_{name}_total", help_text, labels=(label,))
        for (counter, value), count in counts.items():
            if counter == name:
                family.add_metric((value,), count)
        yield family
