"""The page at `/`: quality with its interval, alerts, the ledger and the worst recent answers.

It is rendered on the server and has no script, so it works in every browser and under a strict Content-Security-Policy.
All of its text comes from outside and is escaped.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from qualitrace_collector.config.values import duration_text
from qualitrace_collector.state import Database, Ledger
from qualitrace_collector.state.ledger import JUDGEMENT_OUTCOMES, TRACE_OUTCOMES
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus
from qualitrace_monitors.estimate.corrected import correct
from qualitrace_monitors.estimate.estimator import DEFAULT_WINDOW, Estimate, Estimator
from qualitrace_monitors.notify.outbox import LastDelivery, Outbox

REFRESH_SECONDS = 5
WORST = 12
"""Answers shown, lowest score first."""

_URGENCY = ("firing", "pending", "inactive")


class LedgerRow(NamedTuple):
    """The totals of one service or one judge, in the order of the outcomes."""

    name: str
    totals: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Renders the page from the current state.

    Attributes:
        otlp_http: where traces are received, shown until the first one has come.
        receivers: the names of those that the configuration has.
        mlflow_uri: without credentials.
        trace_url: returns the address of a trace in MLflow's UI.
        clock: Unix seconds.
    """

    database: Database
    estimator: Estimator
    alerts: AlertEngine
    otlp_http: str
    receivers: Collection[str]
    mlflow_uri: str
    trace_url: Callable[[str], str]
    clock: Callable[[], float]

    @property
    def has_trace_pages(self) -> bool:
        """Whether MLflow has a page of each trace: a database alone has none."""
        return self.mlflow_uri.startswith(("http://", "https://"))

    def render(self) -> str:
        """Return the page as HTML."""
        now = self.clock()
        totals = Ledger(self.database).totals()
        estimates = sorted(self.estimator.estimates(now, DEFAULT_WINDOW), key=attrgetter("service"))
        alerts = sorted(self.alerts.statuses(), key=_urgency)
        return _ENVIRONMENT.get_template("dashboard.html").render(
            now=now,
            time=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            refresh=REFRESH_SECONDS,
            window=duration_text(DEFAULT_WINDOW),
            estimates=estimates,
            corrected={_key(each.of): each for each in correct(self.database, estimates)},
            key=_key,
            alerts=alerts,
            has_rules=bool(self.alerts.rules),
            firing=sum(alert.state == "firing" for _, alert in alerts),
            failing_receivers=self._failing_receivers(),
            empty=not totals,
            endpoint=f"http://{self.otlp_http}",
            trace_outcomes=TRACE_OUTCOMES,
            traces=_ledger_rows(totals, "service", TRACE_OUTCOMES),
            judgement_outcomes=JUDGEMENT_OUTCOMES,
            judgements=_ledger_rows(totals, "judge", JUDGEMENT_OUTCOMES),
            worst=self._worst(now - DEFAULT_WINDOW),
            mlflow_uri=self.mlflow_uri,
            trace_url=self.trace_url,
            has_pages=self.has_trace_pages,
        )

    def _failing_receivers(self) -> list[tuple[LastDelivery, int]]:
        """Return how delivery last failed, and how many notifications wait, of each receiver with a problem."""
        outbox = Outbox(self.database)
        waiting = outbox.waiting()
        return [
            (last, waiting[last.receiver].notifications if last.receiver in waiting else 0)
            for last in outbox.last_deliveries()
            if last.problem and last.receiver in self.receivers
        ]

    def _worst(self, since: float) -> list[sqlite3.Row]:
        query = (
            "SELECT trace_id, judge, service, value, label, rationale, completed_at FROM score "
            "WHERE completed_at > ? ORDER BY value, completed_at DESC LIMIT ?"
        )
        return self.database.rows(query, (since, WORST))


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


def _age(seconds: float) -> str:
    """Write a span of time in its largest unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


_ENVIRONMENT = Environment(
    loader=PackageLoader("qualitrace_monitors.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(age=_age, percent=_percent)
