"""The alerts of a state database with their evidence, the most urgent first."""

import math
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from qualitrace_monitors.alerts.rule_watch import Change, RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import STATES, AlertState, AlertStatus
from qualitrace_monitors.moments import instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAlert:
    """An alert as it was at the server's last evaluation.

    Attributes:
        since: when it got into its state, Unix seconds; None while it is inactive.
        value, interval, samples: the rule's quantity; None without data.
        evidence, limit: the evidence for the condition, and at which the alert fires; None where a rule needs none.
        change: what was known of the change when the alert fired; None while it does not, and where a rule bets on
            nothing.
    """

    rule: str
    service: str
    judge: str
    state: AlertState
    since: float | None
    value: float | None
    interval: tuple[float, float] | None
    samples: int
    receivers: Sequence[str]
    evidence: float | None = None
    limit: float | None = None
    change: Change | None = None

    @property
    def progress(self) -> float | None:
        """How far the evidence is on its way to the limit, from 0 to 1: by its logarithm, as evidence multiplies."""
        if self.evidence is None or self.limit is None:
            return None
        return min(1.0, math.log1p(max(0.0, self.evidence)) / math.log1p(self.limit))

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON, with RFC 3339 as time."""
        found: dict[str, Any] = asdict(self) | {"since": None if self.since is None else instant(self.since)}
        if self.change is not None:
            found["change"]["since"] = instant(self.change.since)
        return found


def statuses(connection: sqlite3.Connection, rules: Collection[str]) -> list[ListedAlert]:
    """Return the alerts of these rules, the most urgent first, without their evidence."""
    found = [_listed(status) for status in AlertStatus.load_all(connection) if status.rule in rules]
    return sorted(found, key=lambda alert: (STATES.index(alert.state), alert.rule, alert.service))


def evidence_of(connection: sqlite3.Connection, rule: AlertRule, alert: ListedAlert, now: float) -> ListedAlert:
    """Return the alert with its evidence at `now` (Unix seconds), where its rule rests on one."""
    watch = RuleWatch.load(connection, rule, alert.service, now)
    if watch is None:
        return alert
    evidence, limit = watch.measured
    is_known = alert.state == "firing" and not math.isnan(watch.change.since)
    return replace(alert, evidence=evidence, limit=limit, change=watch.change if is_known else None)


def listed(connection: sqlite3.Connection, rules: Iterable[AlertRule], now: float) -> list[ListedAlert]:
    """Return the alerts of these rules with their evidence, the most urgent first; `now` is in Unix seconds."""
    by_name = {rule.name: rule for rule in rules}
    return [evidence_of(connection, by_name[alert.rule], alert, now) for alert in statuses(connection, by_name)]


def _listed(status: AlertStatus) -> ListedAlert:
    return ListedAlert(
        rule=status.rule,
        service=status.service,
        judge=status.judge,
        state=status.state,
        since=status.active_since if status.fired_at is None else status.fired_at,
        value=status.value,
        interval=status.interval,
        samples=status.samples,
        receivers=status.receivers,
    )
