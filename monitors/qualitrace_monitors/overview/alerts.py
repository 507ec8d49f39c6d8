"""The alerts that fire or are pending, with what changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_monitors.alerts.kinds.kind import OWN_SERVICE
from qualitrace_monitors.alerts.rule_watch import Change, RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertState, AlertStatus
from qualitrace_monitors.estimate.interval import Interval
from qualitrace_monitors.estimate.sums import DAY, MINUTE
from qualitrace_monitors.notify import history
from qualitrace_monitors.notify.history import Delivery
from qualitrace_monitors.notify.payload import Links
from qualitrace_monitors.overview.inputs import Inputs
from qualitrace_monitors.overview.trusted import most_trusted

MOST_TEXTS = 20
"""Firing alerts whose texts are read, the most urgent ones: each is a query."""
ANSWERS = "\nWorst answers:"
"""Where a description goes on with texts of the traffic."""

_URGENCY = {"critical": 0, "error": 1, "warning": 2, "info": 4}
_OTHER_SEVERITY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A quantity with its doubt; the value is None if every score is `unsure`."""

    value: float | None
    interval: Interval
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlert:
    """An alert that fires or is pending; times are Unix seconds.

    Attributes:
        condition: as the rule writes it.
        since: when it got into its state: when it fired, or while it is pending, when its condition was established.
        began_at: about when that began which the alert is about.
        value, interval, samples: the rule's quantity over `window` at the last evaluation; None without data.
        shown: the value as people read it.
        change: what the rule's watch knows of the change; None where it watches no mean.
        before: the quantity in the day before the change; None where it is not a judge's, or without scores.
        summary, explanation: what its notification said, and what of the traffic explains the change; empty before.
        receivers: who is notified.
        deliveries: what became of its notifications.
        event: the number of its record in the history; None before it fires.
        path: of the page that shows more, from the root on.
    """

    rule: str
    service: str
    judge: str
    state: AlertState
    severity: str
    condition: str
    quantity: str
    since: float | None
    began_at: float | None
    window: float
    value: float | None
    shown: str
    interval: Interval | None
    samples: int
    change: Change | None
    before: Measured | None
    summary: str
    explanation: str
    receivers: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    event: int | None
    path: str

    @property
    def runbook(self) -> str:
        """The name of the page in docs/runbooks that says what to do."""
        return runbook_of(self.quantity)


def runbook_of(quantity: str) -> str:
    """Return the name of the page in docs/runbooks about alerts on a quantity."""
    return "burn-rate" if quantity == "slo" else "quality"


def active_alerts(inputs: Inputs, now: float) -> list[ActiveAlert]:
    """Return the alerts that fire, then those that are pending, each the most urgent first."""
    statuses = [pair for pair in inputs.alerts.statuses() if pair[1].state != "inactive"]
    statuses.sort(key=_urgency)
    return [_active(inputs, rule, status, now, number < MOST_TEXTS) for number, (rule, status) in enumerate(statuses)]


def _urgency(pair: tuple[AlertRule, AlertStatus]) -> tuple[bool, int, float, str, str]:
    rule, status = pair
    severity = _URGENCY.get(_severity(rule, status), _OTHER_SEVERITY)
    return status.state != "firing", severity, -(status.active_since or 0.0), rule.name, status.service


def _severity(rule: AlertRule, status: AlertStatus) -> str:
    return status.labels.get("severity", rule.severity)


def _active(inputs: Inputs, rule: AlertRule, status: AlertStatus, now: float, with_texts: bool) -> ActiveAlert:
    change = _change(inputs, rule, status, now) if with_texts else None
    found: Sequence[history.Event] = ()
    if with_texts and status.state == "firing":
        found = history.events(inputs.database, 1, rule=rule.name, service=status.service)
    event = found[0] if found and found[0].resolved_at is None else None
    began_at = event.began_at if event else change.since if change else status.active_since
    summary, explanation = _texts(event)
    return ActiveAlert(
        rule=rule.name,
        service=status.service,
        judge=status.judge,
        state=status.state,
        severity=_severity(rule, status),
        condition=str(rule.when),
        quantity=rule.when.quantity,
        since=status.active_since if status.fired_at is None else status.fired_at,
        began_at=began_at,
        window=rule.window,
        value=status.value,
        shown="" if status.value is None else rule.when.shown(status.value),
        interval=status.interval,
        samples=status.samples,
        change=change,
        before=_before(inputs, rule, status.service, began_at) if with_texts and began_at else None,
        summary=summary,
        explanation=explanation,
        receivers=status.receivers if status.state == "firing" else rule.notify,
        deliveries=event.deliveries if event else (),
        event=event.number if event else None,
        path=_path(status, began_at or now),
    )


def _change(inputs: Inputs, rule: AlertRule, status: AlertStatus, now: float) -> Change | None:
    if rule.when.kind not in ("scores", "control", "requests"):
        return None
    watch = RuleWatch.load(inputs.database.connection(), rule, status.service, now)
    if watch is None or math.isnan((change := watch.change).since):
        return None
    return change


def _before(inputs: Inputs, rule: AlertRule, service: str, began_at: float) -> Measured | None:
    if rule.when.kind != "scores" or not rule.is_of_services:
        return None
    estimates = inputs.estimator.estimates(began_at - MINUTE, DAY, judge=rule.judge, service=service)
    if (estimate := most_trusted(estimates).get((service, rule.judge or ""))) is None:
        return None
    value, interval = estimate.quantity(rule.when.score_quantity)
    return Measured(value=value, interval=interval, samples=estimate.samples)


def _texts(event: history.Event | None) -> tuple[str, str]:
    """Return the sentence of a notification, and the lines that say what explains the change."""
    if event is None:
        return "", ""
    sentence, _, more = event.description.partition(ANSWERS)[0].partition("\n")
    return sentence, more


def _path(status: AlertStatus, since: float) -> str:
    return "" if status.service == OWN_SERVICE else Links("").page(status.service, status.judge, since).lstrip("/")
