"""The lines that `qualitrace alerts list` prints."""

from collections.abc import Sequence

from qualitrace_collector.config.values import amount_text
from qualitrace_monitors.alerts.listing import ListedAlert
from qualitrace_monitors.moments import instant

COLUMNS = ("state", "rule", "service", "since", "value", "change", "evidence")


def lines(alerts: Sequence[ListedAlert]) -> list[str]:
    """Return a line of aligned columns for each alert, below their names; long names do not wrap."""
    rows = [
        COLUMNS,
        *(
            (
                alert.state,
                alert.rule,
                alert.service,
                "-" if alert.since is None else instant(alert.since),
                _value(alert),
                _change(alert),
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
    interval = "" if alert.interval is None else " ({} - {})".format(*map(_number, alert.interval))
    return f"{_number(alert.value)}{interval}"


def _change(alert: ListedAlert) -> str:
    """Say what the alert fired on, which the value of its window does not show while that holds older scores."""
    if (change := alert.change) is None:
        return "-"
    counted = "sessions" if change.of_sessions else "values"
    return f"{_number(change.mean)} in about {change.count:.0f} {counted} since {instant(change.since)}"


def _evidence(alert: ListedAlert) -> str:
    if alert.evidence is None or alert.limit is None:
        return "-"
    return f"{_number(alert.evidence)} of {_number(alert.limit)}"


def _number(value: float) -> str:
    return amount_text(value, 3)
