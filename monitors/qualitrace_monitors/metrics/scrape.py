"""The metrics that are read at each scrape, from the state database and the journal, so they are right after a restart.

They are the ledger and what was received, the quality with its interval, the alerts, and the budgets.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from qualitrace_collector import metrics as collector_metrics
from qualitrace_collector.config.values import duration_text
from qualitrace_collector.metrics import Family
from qualitrace_collector.pipeline.settings import SampledJudge
from qualitrace_collector.state import CoverageTotals, Database, DeadLetters, JudgeQueue, Ledger
from qualitrace_collector.state.ledger import JUDGEMENT_OUTCOMES, TRACE_OUTCOMES
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.budget.pacing import Pacing
from qualitrace_monitors.budget.spending import Balance, Spending
from qualitrace_monitors.estimate.corrected import Corrected, correct
from qualitrace_monitors.estimate.estimator import DEFAULT_WINDOW, Estimate, Estimator
from qualitrace_monitors.estimate.sequence import Sequence as Since
from qualitrace_monitors.metrics import families
from qualitrace_monitors.notify.outbox import Outbox


@dataclass(eq=False, slots=True, kw_only=True)  # prometheus_client keeps collectors in a dict: by identity
class StateCollector(Collector):
    """Exposes the ledger, the estimates, the alerts and the backlogs, read at scrape time.

    Attributes:
        database: the state database.
        estimator: computes the quality over a window.
        clock: Unix seconds.
        journal_backlog: counts the requests that wait in the journal.
        journal_oldest: when the oldest of them was received, in Unix seconds; None if none waits.
        problems: what is wrong with each component; empty where nothing is.
        receive_counts: what the receive process counted, by name and by door or reason.
        notification_counts: notifications by receiver and outcome.
    """

    database: Database
    estimator: Estimator
    alerts: AlertEngine
    clock: Callable[[], float]
    journal_backlog: Callable[[], int]
    journal_oldest: Callable[[], float | None]
    problems: Callable[[], Mapping[str, str]]
    receive_counts: Callable[[], Mapping[tuple[str, str], int]]
    notification_counts: Callable[[], Mapping[tuple[str, str], int]]

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, also those without a sample yet."""
        yield from _ledger_metrics(Ledger(self.database).counters())
        yield from _coverage_metrics(CoverageTotals(self.database).totals())
        estimates = self._estimates()
        yield from _quality_metrics(estimates)
        yield from _corrected_metrics(correct(self.database, estimates))
        yield from _release_metrics(self.estimator.sequences())
        yield _alert_metric(self.alerts)
        watches = [(_of_alert(watch), watch.measured) for watch in self.alerts.watches(self.clock())]
        yield families.ALERT_EVIDENCE.read((labels, evidence) for labels, (evidence, _) in watches)
        yield families.ALERT_LIMIT.read((labels, limit) for labels, (_, limit) in watches)
        yield families.NOTIFICATIONS.read(self.notification_counts().items())
        yield from _outbox_metrics(Outbox(self.database), self.clock())
        received = self.receive_counts()
        for name, family in collector_metrics.OTLP.items():
            counts = dict.fromkeys(("http", "grpc") if family.labels == ("door",) else (), 0)
            counts |= {label: count for (counter, label), count in received.items() if counter == name}
            yield family.read(((label,), count) for label, count in counts.items())
        restarts = ((label.split(), count) for (name, label), count in received.items() if name == "process_restarts")
        yield collector_metrics.PROCESS_RESTARTS.read(restarts)
        yield families.UP.read(((component,), not problem) for component, problem in self.problems().items())
        yield from self._ages(self.clock())
        yield collector_metrics.JOURNAL_BACKLOG.read([((), self.journal_backlog())])
        yield collector_metrics.DEAD_LETTERS.read([((), DeadLetters(self.database).count())])

    def _ages(self, now: float) -> Iterable[Metric]:
        """Yield for how long the oldest has waited; a clock that was set back makes nothing younger than 0."""
        oldest = self.journal_oldest()
        yield collector_metrics.JOURNAL_OLDEST.read([((), 0.0 if oldest is None else max(0.0, now - oldest))])
        waiting = JudgeQueue(self.database).oldest()
        yield families.JUDGEMENTS_OLDEST.read(((judge,), max(0.0, now - at)) for judge, at in waiting.items())
        last = self.database.rows("SELECT judge, tier, service, at FROM last_seen WHERE judge != ''")
        yield families.LAST_SCORE.read((tuple(row)[:3], row["at"]) for row in last)

    def _estimates(self) -> list[Estimate]:
        now = self.clock()
        windows = sorted({DEFAULT_WINDOW, *(rule.window for rule in self.alerts.rules)})
        return [estimate for window in windows for estimate in self.estimator.estimates(now, window)]


@dataclass(eq=False, slots=True)
class BudgetCollector(Collector):
    """Exposes the balances of all limits and the effective rates, read at scrape time; `clock` gives Unix seconds."""

    judges: Sequence[SampledJudge]
    spending: Spending
    pacing: Pacing
    clock: Callable[[], float]

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family, also those without a sample."""
        now = self.clock()
        balances = self.spending.balances(now)
        yield families.BUDGET_SPENT.read((_labels(balance), balance.spent) for balance in balances)
        yield families.BUDGET_REMAINING.read((_labels(balance), balance.remaining) for balance in balances)
        always = self.pacing.always.balances(now)
        yield families.BUDGET_ALWAYS_REMAINING.read((_labels(balance), balance.remaining) for balance in always)
        rates = [((judge.name,), self.pacing.effective_rate(judge)) for judge in self.judges]
        yield families.EFFECTIVE_RATE.read(rates)


def _ledger_metrics(rows: Sequence[sqlite3.Row]) -> Iterable[Metric]:
    # `counted` never falls, as `total` does when an outcome is replaced: Prometheus takes a counter that fell for one
    # that started over, and adds all of it. The totals, which reconcile, are on the dashboard.
    counts = {(row["judge"], row["service"], row["outcome"]): row["counted"] for row in rows}
    # What has an outcome may get any: a series that begins above 0 hides its first increase from Prometheus.
    for judge, service in {key[:2] for key in counts}:
        for outcome in JUDGEMENT_OUTCOMES if judge else TRACE_OUTCOMES:
            counts.setdefault((judge, service, outcome), 0)
    yield collector_metrics.TRACES.read(((key[1:], count) for key, count in counts.items() if not key[0]))
    yield families.JUDGEMENTS.read((key, count) for key, count in counts.items() if key[0] and key[2] != "queued")
    waiting: Counter[str] = Counter()
    for row in rows:
        if row["judge"] and row["outcome"] == "queued":
            waiting[row["judge"]] += row["total"]
    yield families.JUDGEMENTS_WAITING.read(((judge,), count) for judge, count in waiting.items())


def _coverage_metrics(rows: Sequence[sqlite3.Row]) -> Iterable[Metric]:
    for family, column in ((collector_metrics.TRACES_LACKING, "lacked"), (collector_metrics.TRACES_CHECKED, "traces")):
        yield family.read(([row[label] for label in family.labels], row[column]) for row in rows)


_QUALITY: tuple[tuple[Family, Callable[[Estimate], float | None]], ...] = (
    (families.PASS_RATE, lambda estimate: estimate.pass_rate),
    (families.PASS_RATE_LOWER, lambda estimate: estimate.pass_rate_interval[0]),
    (families.PASS_RATE_UPPER, lambda estimate: estimate.pass_rate_interval[1]),
    (families.PASS_RATE_SAMPLES, lambda estimate: estimate.samples),
    (families.MEAN_SCORE, lambda estimate: estimate.mean_score),
    (families.MEAN_SCORE_LOWER, lambda estimate: estimate.mean_score_interval[0]),
    (families.MEAN_SCORE_UPPER, lambda estimate: estimate.mean_score_interval[1]),
    (families.UNSURE_SHARE, lambda estimate: estimate.unsure_share),
)


_RELEASE: tuple[tuple[Family, Callable[[Since], float | None]], ...] = (
    (families.RELEASE_PASS_RATE, lambda since: since.pass_rate),
    (families.RELEASE_PASS_RATE_LOWER, lambda since: since.pass_rate_interval[0]),
    (families.RELEASE_PASS_RATE_UPPER, lambda since: since.pass_rate_interval[1]),
    (families.RELEASE_PASS_RATE_SAMPLES, lambda since: since.values),
)


def _release_metrics(sequences: Sequence[Since]) -> Iterable[Metric]:
    for family, value_of in _RELEASE:
        values = [((each.judge, each.tier, each.service, each.release), value_of(each)) for each in sequences]
        yield family.read((labels, value) for labels, value in values if value is not None)


def _quality_metrics(estimates: Sequence[Estimate]) -> Iterable[Metric]:
    for family, value_of in _QUALITY:
        values = [(estimate, value_of(estimate)) for estimate in estimates]
        yield family.read((_of_estimate(estimate), value) for estimate, value in values if value is not None)


def _corrected_metrics(found: Sequence[Corrected]) -> Iterable[Metric]:
    yield families.PASS_RATE_CORRECTED.read((_of_estimate(each.of), each.pass_rate) for each in found)
    yield families.PASS_RATE_CORRECTED_LOWER.read((_of_estimate(each.of), each.interval[0]) for each in found)
    yield families.PASS_RATE_CORRECTED_UPPER.read((_of_estimate(each.of), each.interval[1]) for each in found)
    yield families.PASS_RATE_CORRECTED_LABELS.read((_of_estimate(each.of), each.labels) for each in found)


def _of_estimate(estimate: Estimate) -> tuple[str, str, str, str]:
    return estimate.judge, estimate.tier, estimate.service, duration_text(estimate.window)


def _alert_metric(alerts: AlertEngine) -> Metric:
    return families.ALERT_STATE.read(
        ((rule.name, status.service, rule.judge or "", rule.severity, state), status.state == state)
        for rule, status in alerts.statuses()
        for state in ("pending", "firing")
    )


def _outbox_metrics(outbox: Outbox, now: float) -> Iterable[Metric]:
    waiting, last = outbox.waiting(), outbox.last_deliveries()
    counts = {each.receiver: 0 for each in last} | {name: each.notifications for name, each in waiting.items()}
    yield families.NOTIFICATIONS_WAITING.read(((name,), count) for name, count in counts.items())
    ages = (((name,), max(0.0, now - each.oldest_at)) for name, each in waiting.items())
    yield families.NOTIFICATIONS_OLDEST.read(ages)
    sent = (((each.receiver,), each.sent_at) for each in last if each.sent_at is not None)
    yield families.NOTIFICATION_LAST_SENT.read(sent)


def _of_alert(watch: RuleWatch) -> tuple[str, str, str, str]:
    return watch.rule.name, watch.service, watch.rule.judge or "", watch.tier


def _labels(balance: Balance) -> tuple[str, str, str]:
    return balance.limit.judge, balance.limit.window, balance.limit.unit
