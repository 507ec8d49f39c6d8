"""The page at `/`: quality with its interval, alerts, the ledger and the worst recent answers.

It is rendered on the server and has no script, so it works in every browser and under a strict Content-Security-Policy.
All of its text comes from outside and is escaped.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from prometheus_client import CollectorRegistry

from qualitrace_collector.config.values import without_credentials
from qualitrace_collector.state import Database, Ledger
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus
from qualitrace_monitors.config import Config
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.metrics.scrape import DEFAULT_WINDOW, window_label
from qualitrace_monitors.notify.payload import Links

REFRESH_SECONDS = 5
WORST = 12
"""Answers shown, lowest score first."""

TRACE_OUTCOMES = ("stored", "not_genai", "dead_lettered")
JUDGEMENT_OUTCOMES = (
    "queued", "scored", "sampled_out", "not_applicable", "budget_skipped", "failed", "expired",
)  # fmt: skip
_URGENCY = ("firing", "pending", "inactive")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """What the pages of the web port are made from.

    Attributes:
        registry: the metrics to expose.
        problems: lists what is not ready, one line each; empty when everything is.
        database: the state database.
        estimator: computes the quality that the dashboard shows.
        alerts: lists every alert: its rule and where it stands.
        config: the configuration in force.
        clock: Unix seconds.
    """

    registry: CollectorRegistry
    problems: Callable[[], list[str]]
    database: Database
    estimator: Estimator
    alerts: Callable[[], Sequence[tuple[AlertRule, AlertStatus]]]
    config: Config
    clock: Callable[[], float]


class LedgerRow(NamedTuple):
    """The totals of one service or one judge, in the order of the outcomes."""

    name: str
    totals: list[int]


class Dashboard:
    """Renders the page from the current state."""

    def __init__(self, services: WebServices) -> None:
        self._services = services
        self._mlflow_uri = without_credentials(services.config.tracking_uri)
        environment = Environment(
            loader=PackageLoader("qualitrace_monitors.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(age=_age, percent=_percent, trace_page=Links("", self._mlflow_uri).trace)
        self._template = environment.get_template("dashboard.html")

    def render(self) -> str:
        """Return the page as HTML."""
        services = self._services
        now = services.clock()
        totals = Ledger(services.database).totals()
        alerts = sorted(services.alerts(), key=_urgency)
        return self._template.render(
            now=now,
            time=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            refresh=REFRESH_SECONDS,
            window=window_label(DEFAULT_WINDOW),
            estimates=sorted(services.estimator.estimates(now, DEFAULT_WINDOW), key=attrgetter("service")),
            alerts=alerts,
            has_rules=bool(services.config.alerts),
            firing=sum(alert.state == "firing" for _, alert in alerts),
            empty=not totals,
            endpoint=f"http://{services.config.listen.otlp_http}",
            trace_outcomes=TRACE_OUTCOMES,
            traces=_ledger_rows(totals, "service", TRACE_OUTCOMES),
            judgement_outcomes=JUDGEMENT_OUTCOMES,
            judgements=_ledger_rows(totals, "judge", JUDGEMENT_OUTCOMES),
            worst=self._worst(now - DEFAULT_WINDOW),
            mlflow_uri=self._mlflow_uri,
            has_pages=self._mlflow_uri.startswith(("http://", "https://")),
        )

    def _worst(self, since: float) -> list[sqlite3.Row]:
        return (
            self._services.database.connection()
            .execute(
                "SELECT trace_id, judge, service, value, label, rationale, completed_at FROM score "
                "WHERE completed_at > ? ORDER BY value, completed_at DESC LIMIT ?",
                (since, WORST),
            )
            .fetchall()
        )


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
