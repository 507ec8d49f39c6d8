"""What a paged engineer reads: labels, a sentence with the numbers and their interval, and the worst traces."""

import sqlite3
from datetime import timedelta

import durationpy

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import Estimate
from qualitrace_monitors.notify.payload import Links

TRACES_SHOWN = 3
RATIONALE_CHARACTERS = 300


def labels(rule: AlertRule, estimate: Estimate) -> dict[str, str]:
    """Return the labels of the alert that `rule` fires on `estimate`."""
    return {
        "alertname": rule.name,
        "service": estimate.service,
        "judge": rule.judge,
        "tier": estimate.tier,
        "severity": rule.severity,
    }


def firing_annotations(
    connection: sqlite3.Connection, rule: AlertRule, estimate: Estimate, links: Links, now: float
) -> dict[str, str]:
    """Return summary (the rule's own, if it has one) and description of an alert that begins to fire."""
    sentence = _sentence(rule, estimate, "fell" if rule.when.operator == "<" else "rose")
    traces = "".join(f"\n- {line}" for line in _worst_traces(connection, rule, estimate, links, now))
    return {"summary": rule.summary or sentence, "description": f"{sentence}. Worst traces:{traces}"}


def resolved_annotations(rule: AlertRule, estimate: Estimate) -> dict[str, str]:
    """Return summary and description of an alert whose quality recovered."""
    sentence = _sentence(rule, estimate, "recovered")
    return {"summary": sentence, "description": f"{sentence}."}


def _sentence(rule: AlertRule, estimate: Estimate, change: str) -> str:
    value, (lower, upper) = estimate.quantity(rule.when.quantity)
    shown = "undecided" if value is None else f"{value:.2f}"
    window = durationpy.to_str(timedelta(seconds=rule.window))
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
