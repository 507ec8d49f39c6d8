"""Evaluates the rules: each change of state and its notifications are one transaction.

What a rule reads, and what it says, is its kind's (`kinds/`).
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts.kinds import kinds_of
from qualitrace_monitors.alerts.kinds.kind import Finding, Look, OwnState, Sources
from qualitrace_monitors.alerts.quoting import inert
from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus, advance
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.notify.firing import announce
from qualitrace_monitors.notify.payload import Alert, Links

EVALUATION_SECONDS = 5.0
"""How often the rules look at what has come."""
CLOCK_STEP = 1.0
"""Seconds by which the wall clock must be set at once to count as set: NTP slews it by less."""


class AlertEngine:
    """The rules of the configuration over a state database.

    Args:
        own: what rules on qualitrace itself read.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        database: Database,
        estimator: Estimator,
        links: Links,
        own: OwnState | None = None,
    ) -> None:
        self.rules = rules  # the scrape reads their windows, the dashboard whether there are any
        self._rules = {rule.name: rule for rule in rules}
        sources = Sources(database=database, estimator=estimator, links=links, own=own or OwnState())
        self._kinds = kinds_of(rules, sources)
        self._database = database
        self._links = links
        self._clocks: tuple[float, float] | None = None

    def statuses(self) -> list[tuple[AlertRule, AlertStatus]]:
        """Return each alert as it was at the last evaluation, with its rule, in order of rule and service."""
        saved = AlertStatus.load_all(self._database.connection())
        return [(self._rules[status.rule], status) for status in saved if self._covers(status)]

    def watches(self, now: float) -> list[RuleWatch]:
        """Return what the rules know of each service at `now` (Unix seconds), in order of rule and service."""
        return RuleWatch.all_of(self._database.connection(), self.rules, now)

    def evaluate(self, now: float, steady: float | None = None) -> None:
        """Evaluate every rule, for each service that has data or an active alert.

        An alert whose rule the configuration no longer has is resolved, at the receivers of its firing.

        Args:
            now: Unix seconds.
            steady: seconds of a clock that nobody sets; by default `now`.
        """
        with self._database.transaction() as connection:
            RuleWatch.forget_outdated(connection, self.rules, now)
        look = self._look(now, now if steady is None else steady)
        for kind in self._kinds:
            kind.take(look)
        with self._database.transaction() as connection:
            saved = [status.moved(look.step) for status in AlertStatus.load_all(connection)]
            kept = {(status.rule, status.service): status for status in saved if self._covers(status)}
            for status in saved:
                if not self._covers(status):
                    self._retire(connection, status, now)
            for kind in self._kinds:
                for rule in kind.rules:
                    for service, finding in sorted(kind.find(connection, rule, now).items()):
                        new = AlertStatus(rule=rule.name, service=service, judge=rule.judge or "")
                        self._update(connection, finding, kept.pop((rule.name, service), new), now)
            for status in kept.values():
                _keep(connection, status)

    def _look(self, now: float, steady: float) -> Look:
        before, self._clocks = self._clocks, (now, steady)
        step = 0.0 if before is None else (now - before[0]) - (steady - before[1])
        return Look(now, steady, step if abs(step) > CLOCK_STEP else 0.0)

    def _covers(self, status: AlertStatus) -> bool:
        rule = self._rules.get(status.rule)
        return rule is not None and (rule.judge or "") == status.judge and rule.covers(status.service)

    def _update(self, connection: sqlite3.Connection, finding: Finding, before: AlertStatus, now: float) -> None:
        measured = {"value": finding.value, "interval": finding.interval, "samples": finding.samples}
        after = replace(advance(before, finding.rule, finding.evidence, now), **measured)
        if after.state == before.state == "firing" and finding.supersedes(before.labels):
            text = f"{finding.rule.name} of {inert(finding.service)} has become more urgent"
            texts = {"summary": text, "description": f"{text}."}
            self._notify(connection, before, texts, now, finding, ended=True)
            before, after = replace(before, state="pending"), replace(after, fired_at=now)
        if after.state == "firing" and before.state != "firing":
            after = replace(after, labels=_labels(finding), receivers=finding.rule.notify)
            self._notify(connection, after, _firing_texts(connection, finding, now), now, finding)
        elif after.state == "firing" and finding.evidence == "established":
            after = self._tell_new_receivers(connection, after, finding, now)
        elif before.state == "firing" and after.state != "firing":
            sentence = inert(finding.recovered())
            texts = {"summary": sentence, "description": f"{sentence}."}
            self._notify(connection, before, texts, now, finding, ended=True)
            after = replace(after, labels={}, receivers=())
        if after.state == "inactive" and after.value is None and not after.samples:
            after.delete(connection)
        else:
            after.save(connection)

    def _tell_new_receivers(
        self, connection: sqlite3.Connection, status: AlertStatus, finding: Finding, now: float
    ) -> AlertStatus:
        """Notify the receivers that the rule was given since the alert fired; those that it lost hear of its end."""
        new = tuple(name for name in finding.rule.notify if name not in status.receivers)
        if not new:
            return status
        texts = _firing_texts(connection, finding, now)
        self._notify(connection, replace(status, receivers=new), texts, now, finding)
        return replace(status, receivers=status.receivers + new)

    def _retire(self, connection: sqlite3.Connection, status: AlertStatus, now: float) -> None:
        text = f"the rule {status.rule} no longer covers {status.judge or 'the traffic'} of {inert(status.service)}"
        if status.state == "firing":
            self._notify(connection, status, {"summary": text, "description": f"{text}."}, now, ended=True)
        status.delete(connection)

    def _notify(
        self,
        connection: sqlite3.Connection,
        status: AlertStatus,
        texts: dict[str, str],
        now: float,
        finding: Finding | None = None,
        *,
        ended: bool = False,
    ) -> None:
        began_at = (finding and finding.began_at) or status.active_since or now
        own = _annotations(finding.rule) if finding else {}
        alert = Alert(
            labels=status.labels,
            annotations={**texts, "dashboard": self._page(status, began_at), **own},
            starts_at=now if status.fired_at is None else status.fired_at,
            ends_at=now if ended else None,
        )
        announce(connection, alert, status.receivers, self._links, now, began_at)

    def _page(self, status: AlertStatus, began_at: float) -> str:
        """Return the address of the page that shows since when the alert's quantity is what it is."""
        rule = self._rules.get(status.rule)
        if rule and rule.when.kind == "own_health":
            return self._links.web  # it is of no service
        return self._links.page(status.service, status.judge, began_at)


def _firing_texts(connection: sqlite3.Connection, finding: Finding, now: float) -> dict[str, str]:
    sentence = inert(finding.fired())
    description = f"{sentence}.{finding.details(connection, now)}"
    return {"summary": finding.rule.summary or sentence, "description": description}


def _keep(connection: sqlite3.Connection, status: AlertStatus) -> None:
    """Keep an alert about which nothing is known now: it goes on firing, and is forgotten otherwise."""
    if status.state == "firing":
        replace(status, value=None, interval=None, samples=0).save(connection)
    else:
        status.delete(connection)


def _labels(finding: Finding) -> dict[str, str]:
    """Return the labels of an alert."""
    rule = finding.rule
    judged = {"judge": rule.judge, "tier": finding.tier} if rule.judge else {}
    named = {"alertname": rule.name, "service": finding.service, **judged, "severity": finding.severity}
    return {name: value for name, value in named.items() if value} | rule.labels


def _annotations(rule: AlertRule) -> dict[str, str]:
    """Return the annotations that a rule adds to its alerts."""
    return {**rule.annotations, **({"runbook_url": str(rule.runbook_url)} if rule.runbook_url else {})}
