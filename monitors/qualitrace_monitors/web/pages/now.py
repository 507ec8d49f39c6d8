"""The page at `/`: quality with its interval, alerts, the ledger and the worst recent answers."""

import sqlite3
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.state import Database, Ledger
from qualitrace_collector.state.ledger import JUDGEMENT_OUTCOMES, TRACE_OUTCOMES
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus
from qualitrace_monitors.estimate.corrected import correct
from qualitrace_monitors.estimate.estimator import DEFAULT_WINDOW, Estimate
from qualitrace_monitors.notify.outbox import LastDelivery, Outbox
from qualitrace_monitors.web.page import Page, PageRequest, Sources

WORST = 12
"""Answers shown, lowest score first."""

_URGENCY = ("firing", "pending", "inactive")


class LedgerRow(NamedTuple):
    """The totals of one service or one judge, in the order of the outcomes."""

    name: str
    totals: list[int]


def _context(sources: Sources, _request: PageRequest) -> Mapping[str, Any]:
    now = sources.clock()
    totals = Ledger(sources.database).totals()
    estimates = sorted(sources.estimator.estimates(now, DEFAULT_WINDOW), key=attrgetter("service"))
    return {
        "now": now,
        "window": duration_text(DEFAULT_WINDOW),
        "estimates": estimates,
        "corrected": {_key(each.of): each for each in correct(sources.database, estimates)},
        "key": _key,
        "alerts": sorted(sources.alerts.statuses(), key=_urgency),
        "has_rules": bool(sources.alerts.rules),
        "failing_receivers": _failing_receivers(sources),
        "empty": not totals,
        "endpoint": f"http://{sources.config.listen.otlp_http}",
        "trace_outcomes": TRACE_OUTCOMES,
        "traces": _ledger_rows(totals, "service", TRACE_OUTCOMES),
        "judgement_outcomes": JUDGEMENT_OUTCOMES,
        "judgements": _ledger_rows(totals, "judge", JUDGEMENT_OUTCOMES),
        "worst": _worst(sources.database, now - DEFAULT_WINDOW),
        "mlflow_uri": sources.mlflow_uri,
        "trace_url": sources.links.trace,
        "has_pages": sources.has_trace_pages,
    }


def _failing_receivers(sources: Sources) -> list[tuple[LastDelivery, int]]:
    """Return how delivery last failed, and how many notifications wait, of each receiver with a problem."""
    outbox = Outbox(sources.database)
    waiting = outbox.waiting()
    return [
        (last, waiting[last.receiver].notifications if last.receiver in waiting else 0)
        for last in outbox.last_deliveries()
        if last.problem and last.receiver in sources.config.notify
    ]


def _worst(database: Database, since: float) -> list[sqlite3.Row]:
    query = (
        "SELECT trace_id, judge, service, value, label, rationale, completed_at FROM score "
        "WHERE completed_at > ? ORDER BY value, completed_at DESC LIMIT ?"
    )
    return database.rows(query, (since, WORST))


def _key(estimate: Estimate) -> tuple[str, str, str]:
    return estimate.judge, estimate.tier, estimate.service


def _ledger_rows(totals: Iterable[sqlite3.Row], column: str, outcomes: tuple[str, ...]) -> list[LedgerRow]:
    """Sum the ledger by `column` (service: of whole traces; judge: of judgements)."""
    sums: dict[str, dict[str, int]] = {}
    for row in totals:
        if bool(row["judge"]) == (column == "judge"):
            outcome_sums = sums.setdefault(row[column], dict.fromkeys(outcomes, 0))
            outcome_sums[row["outcome"]] += row["total"]
    return [LedgerRow(name, list(sums[name].values())) for name in sorted(sums)]


def _urgency(alert: tuple[AlertRule, AlertStatus]) -> tuple[int, str, str]:
    _, status = alert
    return _URGENCY.index(status.state), status.rule, status.service


PAGE = Page("/", "now.html", _context, "Now")
