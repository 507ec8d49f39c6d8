"""What an estimate means for a rule, and how an alert's state follows.

    inactive ── established ──▶ pending ── for `for` ──▶ firing ── recovered, and not established
        ▲                          │                        │      for `keep_firing_for`
        └──── not established ─────┴────────────────────────┘

A firing alert stays firing while the evidence is inconclusive: few or no samples are no recovery.
"""

from dataclasses import replace
from typing import Literal

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus
from qualitrace_monitors.estimate.estimator import Estimate

Evidence = Literal["established", "recovered", "inconclusive"]


def weigh(rule: AlertRule, estimate: Estimate | None) -> Evidence:
    """Return whether the estimate establishes the rule's condition.

    established: enough samples, and the whole interval lies beyond the threshold.
    recovered: enough samples, and the point estimate is on the threshold or on its good side.
    inconclusive: anything else.
    """
    if estimate is None or estimate.samples < rule.min_samples:
        return "inconclusive"
    value, (lower, upper) = estimate.quantity(rule.when.quantity)
    threshold = rule.when.threshold
    if rule.when.operator == "<":
        established, good = upper < threshold, value is not None and value >= threshold
    else:
        established, good = lower > threshold, value is not None and value <= threshold
    if established:
        return "established"
    return "recovered" if good else "inconclusive"


def advance(status: AlertStatus, rule: AlertRule, evidence: Evidence, now: float) -> AlertStatus:
    """Return the status after an evaluation at `now`."""
    if status.state == "firing":
        return _while_firing(status, rule, evidence, now)
    if evidence != "established":
        return replace(status, state="inactive", active_since=None)
    since = now if status.active_since is None else status.active_since
    if now - since < rule.hold_for:
        return replace(status, state="pending", active_since=since)
    return replace(status, state="firing", active_since=since, fired_at=now, held_at=now)


def _while_firing(status: AlertStatus, rule: AlertRule, evidence: Evidence, now: float) -> AlertStatus:
    if evidence == "established":
        return replace(status, held_at=now)
    held_at = now if status.held_at is None else status.held_at
    if evidence == "recovered" and now - held_at >= rule.keep_firing_for:
        return replace(status, state="inactive", active_since=None, fired_at=None, held_at=None)
    return status
