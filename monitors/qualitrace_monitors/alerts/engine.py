"""Evaluates the rules: each change of state and the notifications that tell of it are one transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts import wording
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertRecord, AlertStatus
from qualitrace_monitors.alerts.transition import advance, weigh
from qualitrace_monitors.estimate import Estimate, Estimator
from qualitrace_monitors.notify.delivery import Outbox
from qualitrace_monitors.notify.payload import Alert, Links, webhook_payload


class AlertEngine:
    """The rules of the configuration over the scores of a state database."""

    def __init__(self, rules: Sequence[AlertRule], database: Database, estimator: Estimator, links: Links) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._database = database
        self._estimator = estimator
        self._links = links

    def statuses(self) -> list[AlertStatus]:
        """Return where each alert stood at the last evaluation, in order of rule and service."""
        return [
            AlertStatus(
                rule=self._rules[record.rule],
                service=record.service,
                state=record.state,
                since=record.active_since,
                value=record.value,
                interval=record.interval,
                samples=record.samples,
            )
            for record in AlertRecord.load_all(self._database.connection())
            if self._covers(record)
        ]

    def evaluate(self, now: float) -> None:
        """Evaluate every rule at `now`, in Unix seconds, for each service that has data or an active alert.

        An alert whose rule the configuration no longer has is resolved, to the receivers that were told.
        """
        estimates = {name: self._estimates(rule, now) for name, rule in self._rules.items()}
        with self._database.transaction() as connection:
            saved = AlertRecord.load_all(connection)
            kept = {(record.rule, record.service): record for record in saved if self._covers(record)}
            for record in saved:
                if not self._covers(record):
                    self._retire(connection, record, now)
            for name, rule in self._rules.items():
                services = {*estimates[name], *(service for rule_name, service in kept if rule_name == name)}
                for service in sorted(services):
                    record = kept.get((name, service)) or AlertRecord(rule=name, service=service, judge=rule.judge)
                    self._follow(connection, rule, record, estimates[name].get(service), now)

    def _estimates(self, rule: AlertRule, now: float) -> Mapping[str, Estimate]:
        """Map services to estimates; of two tiers (the judge was changed) the one with more samples speaks."""
        found = self._estimator.estimates(now, rule.window, rule.confidence, rule.judge, rule.service)
        return {estimate.service: estimate for estimate in sorted(found, key=lambda estimate: estimate.samples)}

    def _covers(self, record: AlertRecord) -> bool:
        rule = self._rules.get(record.rule)
        return rule is not None and rule.judge == record.judge and rule.service in (None, record.service)

    def _follow(
        self,
        connection: sqlite3.Connection,
        rule: AlertRule,
        before: AlertRecord,
        estimate: Estimate | None,
        now: float,
    ) -> None:
        after = _measured(advance(before, rule, weigh(rule, estimate), now), rule, estimate)
        if estimate is not None and after.state != before.state:
            if after.state == "firing":
                after = replace(after, labels=wording.labels(rule, estimate), receivers=rule.notify)
                told = wording.firing_annotations(connection, rule, estimate, self._links, now)
                self._tell(connection, after, told, now)
            elif before.state == "firing":
                self._tell(connection, before, wording.resolved_annotations(rule, estimate), now, ended=True)
                after = replace(after, labels={}, receivers=())
        if after.state == "inactive" and estimate is None:
            after.delete(connection)
        else:
            after.save(connection)

    def _retire(self, connection: sqlite3.Connection, record: AlertRecord, now: float) -> None:
        text = f"the rule {record.rule} no longer covers {record.judge} of {record.service}"
        # Unless it fires the record has no receivers: then nobody was told of it.
        self._tell(connection, record, {"summary": text, "description": f"{text}."}, now, ended=True)
        record.delete(connection)

    def _tell(
        self,
        connection: sqlite3.Connection,
        record: AlertRecord,
        annotations: dict[str, str],
        now: float,
        *,
        ended: bool = False,
    ) -> None:
        alert = Alert(
            labels=record.labels,
            annotations=annotations,
            starts_at=now if record.fired_at is None else record.fired_at,
            ends_at=now if ended else None,
        )
        for receiver in record.receivers:
            Outbox.put(connection, receiver, webhook_payload(alert, receiver, self._links), now)


def _measured(record: AlertRecord, rule: AlertRule, estimate: Estimate | None) -> AlertRecord:
    if estimate is None:
        return replace(record, value=None, interval=None, samples=0)
    value, interval = estimate.quantity(rule.when.quantity)
    return replace(record, value=value, interval=interval, samples=estimate.samples)
