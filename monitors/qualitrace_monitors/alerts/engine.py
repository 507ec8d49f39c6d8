"""Evaluates the rules. Each change of state and its notifications are one transaction.

A paged engineer reads labels, a sentence with the numbers and their interval, and the worst traces.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus, advance, weigh
from qualitrace_monitors.estimate.estimator import Estimate, Estimator
from qualitrace_monitors.notify.delivery import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload

TRACES_SHOWN = 3
RATIONALE_CHARACTERS = 300


class AlertEngine:
    """The rules of the configuration over the scores of a state database."""

    def __init__(self, rules: Sequence[AlertRule], database: Database, estimator: Estimator, links: Links) -> None:
        self.rules = rules  # the scrape reads their windows, the dashboard whether there are any
        self._rules = {rule.name: rule for rule in rules}
        self._database = database
        self._estimator = estimator
        self._links = links

    def statuses(self) -> list[tuple[AlertRule, AlertStatus]]:
        """Return each alert as it was at the last evaluation, with its rule, in order of rule and service."""
        saved = AlertStatus.load_all(self._database.connection())
        return [(self._rules[status.rule], status) for status in saved if self._covers(status)]

    def evaluate(self, now: float) -> None:
        """Evaluate every rule at `now`, in Unix seconds, for each service that has data or an active alert.

        An alert whose rule the configuration no longer has is resolved, at the receivers of its firing.
        """
        estimates = {name: self._estimates(rule, now) for name, rule in self._rules.items()}
        with self._database.transaction() as connection:
            saved = AlertStatus.load_all(connection)
            kept = {(status.rule, status.service): status for status in saved if self._covers(status)}
            for status in saved:
                if not self._covers(status):
                    self._retire(connection, status, now)
            for name, rule in self._rules.items():
                services = {*estimates[name], *(service for rule_name, service in kept if rule_name == name)}
                for service in sorted(services):
                    status = kept.get((name, service)) or AlertStatus(rule=name, service=service, judge=rule.judge)
                    self._update(connection, rule, status, estimates[name].get(service), now)

    def _estimates(self, rule: AlertRule, now: float) -> Mapping[str, Estimate]:
        """Map services to estimates."""
        found = self._estimator.estimates(now, rule.window, rule.confidence, rule.judge, rule.service)
        # A service has several where the judge's tier was changed within the window: the one with most samples counts.
        return {estimate.service: estimate for estimate in sorted(found, key=lambda estimate: estimate.samples)}

    def _covers(self, status: AlertStatus) -> bool:
        rule = self._rules.get(status.rule)
        return rule is not None and rule.judge == status.judge and rule.service in (None, status.service)

    def _update(
        self,
        connection: sqlite3.Connection,
        rule: AlertRule,
        before: AlertStatus,
        estimate: Estimate | None,
        now: float,
    ) -> None:
        after = _measured(advance(before, rule, weigh(rule, estimate), now), rule, estimate)
        if estimate is not None and after.state != before.state:
            if after.state == "firing":
                after = replace(after, labels=_labels(rule, estimate), receivers=rule.notify)
                annotations = _firing_annotations(connection, rule, estimate, self._links, now)
                self._notify(connection, after, annotations, now)
            elif before.state == "firing":
                annotations = _resolved_annotations(rule, estimate)
                self._notify(connection, before, annotations, now, ended=True)
                after = replace(after, labels={}, receivers=())
        if after.state == "inactive" and estimate is None:
            after.delete(connection)
        else:
            after.save(connection)

    def _retire(self, connection: sqlite3.Connection, status: AlertStatus, now: float) -> None:
        text = f"the rule {status.rule} no longer covers {status.judge} of {status.service}"
        # A status that does not fire has no receivers, so nobody is notified of its end.
        self._notify(connection, status, {"summary": text, "description": f"{text}."}, now, ended=True)
        status.delete(connection)

    def _notify(
        self,
        connection: sqlite3.Connection,
        status: AlertStatus,
        annotations: dict[str, str],
        now: float,
        *,
        ended: bool = False,
    ) -> None:
        alert = Alert(
            labels=status.labels,
            annotations=annotations,
            starts_at=now if status.fired_at is None else status.fired_at,
            ends_at=now if ended else None,
        )
        for receiver in status.receivers:
            Outbox.put(connection, receiver, webhook_payload(alert, receiver, self._links), now)


def _measured(status: AlertStatus, rule: AlertRule, estimate: Estimate | None) -> AlertStatus:
    if estimate is None:
        return replace(status, value=None, interval=None, samples=0)
    value, interval = estimate.quantity(rule.when.quantity)
    return replace(status, value=value, interval=interval, samples=estimate.samples)


def _labels(rule: AlertRule, estimate: Estimate) -> dict[str, str]:
    """Return the labels of the alert that `rule` fires on `estimate`."""
    return {
        "alertname": rule.name,
        "service": estimate.service,
        "judge": rule.judge,
        "tier": estimate.tier,
        "severity": rule.severity,
    }


def _firing_annotations(
    connection: sqlite3.Connection, rule: AlertRule, estimate: Estimate, links: Links, now: float
) -> dict[str, str]:
    """Return summary (the rule's own, if it has one) and description of an alert that begins to fire."""
    sentence = _sentence(rule, estimate, "fell" if rule.when.operator == "<" else "rose")
    traces = "".join(f"\n- {line}" for line in _worst_traces(connection, rule, estimate, links, now))
    return {"summary": rule.summary or sentence, "description": f"{sentence}. Worst traces:{traces}"}


def _resolved_annotations(rule: AlertRule, estimate: Estimate) -> dict[str, str]:
    """Return summary and description of an alert whose quality recovered."""
    sentence = _sentence(rule, estimate, "recovered")
    return {"summary": sentence, "description": f"{sentence}."}


def _sentence(rule: AlertRule, estimate: Estimate, change: str) -> str:
    value, (lower, upper) = estimate.quantity(rule.when.quantity)
    shown = "undecided" if value is None else f"{value:.2f}"
    window = duration_text(rule.window)
    return (
        f"{rule.judge} of {estimate.service} {change}: {rule.when.quantity.replace('_', ' ')} {shown} "
        f"({rule.confidence * 100:g} % interval {lower:.2f}–{upper:.2f}, {estimate.samples} answers in {window}), "
        f"threshold {rule.when.threshold:g}"
    )


def _worst_traces(
    connection: sqlite3.Connection, rule: AlertRule, estimate: Estimate, links: Links, now: float
) -> list[str]:
    """Return a line for each of the worst scores: the trace's address, the value and the rationale."""
    direction = "ASC" if rule.when.operator == "<" else "DESC"
    rows = connection.execute(
        "SELECT trace_id, value, rationale FROM score WHERE judge = ? AND tier = ? AND service = ? "
        "AND completed_at > ? AND completed_at <= ? AND inclusion_probability > 0 "
        f"ORDER BY value {direction}, completed_at DESC LIMIT ?",
        (rule.judge, estimate.tier, estimate.service, now - rule.window, now, TRACES_SHOWN),
    ).fetchall()
    return [f"{links.trace(row['trace_id'])} scored {row['value']:.2f}: {_shortened(row['rationale'])}" for row in rows]


def _shortened(rationale: str) -> str:
    text = " ".join(rationale.split())
    return text if len(text) <= RATIONALE_CHARACTERS else text[: RATIONALE_CHARACTERS - 1] + "…"
