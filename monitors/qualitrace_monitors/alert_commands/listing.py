"""The alerts of a state database, as lines or as JSON."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from qualitrace_monitors.alerts.rule_watch import RuleWatch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.status import AlertStatus

COLUMNS = ("state", "rule", "service", "since", "value", "evidence")
_URGENCY = ("firing", "pending", "inactive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAlert:
    """An alert as it was at the server's last evaluation.

    Attributes:
        since: when it got into its state, Unix seconds; None while it is inactive.
        value, interval, samples: the rule's quantity; None without data.
        evidence, limit: the evidence for the condition, and at which the alert fires; None where a rule needs none.
    """

    rule: str
    service: str
    judge: str
    state: str
    since: float | None
    value: float | None
    interval: tuple[float, float] | None
    samples: int
    evidence: float | None
    limit: float | None
    receivers: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON, with RFC 3339 as time."""
        return asdict(self) | {"since": None if self.since is None else _moment(self.since)}


def listed(connection: sqlite3.Connection, rules: Iterable[AlertRule], now: float) -> list[ListedAlert]:
    """Return the alerts that a database knows, the most urgent first; `now` is in Unix seconds."""
    watches = {(watch.rule.name, watch.service): watch.measured for watch in RuleWatch.all_of(connection, rules, now)}
    found = [
        _listed(status, watches.get((status.rule, status.service), (None, None)))
        for status in AlertStatus.load_all(connection)
    ]
    return sorted(found, key=lambda alert: (_URGENCY.index(alert.state), alert.rule, alert.service))


def _listed(status: AlertStatus, measured: tuple[float | None, float | None]) -> ListedAlert:
    evidence, limit = measured
    return ListedAlert(
        rule=status.rule,
        service=status.service,
        judge=status.judge,
        state=status.state,
        since=status.active_since if status.fired_at is None else status.fired_at,
        value=status.value,
        interval=status.interval,
        samples=status.samples,
        evidence=evidence,
        limit=limit,
        receivers=status.receivers,
    )


def lines(alerts: Sequence[ListedAlert]) -> list[str]:
    """Return a line of aligned columns for each alert, below their names; long names do not wrap."""
    rows = [
        COLUMNS,
        *(
            (
                alert.state,
                alert.rule,
                alert.service,
                "-" if alert.since is None else _moment(alert.since),
                _value(alert),
                _evidence(alert),
            )
            for alert in alerts
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _value(alert: ListedAlert) -> str:
    if alert.value is None:
        return "no data" if alert.evidence is None else "-"
    interval = "" if alert.interval is None else " ({:.3g} - {:.3g})".format(*alert.interval)
    return f"{alert.value:.3g}{interval}"


def _evidence(alert: ListedAlert) -> str:
    return "-" if alert.evidence is None else f"{alert.evidence:.3g} of {alert.limit:.3g}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
