"""Where each alert stands: one row per (rule, service) in the state database."""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.interval import Interval

AlertState = Literal["inactive", "pending", "firing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRecord:
    """The row of a rule, by its name, and a service; times are Unix seconds.

    Attributes:
        active_since: when the condition was first established; None while inactive.
        fired_at: when it began to fire; None unless firing.
        held_at: when the condition was last established; None unless firing.
        value, interval: the rule's quantity at the last evaluation; None without data.
        samples: what they rest on.
        labels, receivers: what the firing notification had, for the resolved one to match; empty unless firing.
    """

    rule: str
    service: str
    judge: str
    state: AlertState = "inactive"
    active_since: float | None = None
    fired_at: float | None = None
    held_at: float | None = None
    value: float | None = None
    interval: Interval | None = None
    samples: int = 0
    labels: dict[str, str] = field(default_factory=dict[str, str])
    receivers: tuple[str, ...] = ()

    @classmethod
    def load_all(cls, connection: sqlite3.Connection) -> list[Self]:
        """Read every row, in order of rule and service."""
        return [cls._from_row(row) for row in connection.execute("SELECT * FROM alert_state")]

    @classmethod
    def _from_row(cls, row: sqlite3.Row) -> Self:
        values: dict[str, Any] = dict(row)
        lower, upper = values.pop("lower"), values.pop("upper")
        values["interval"] = None if lower is None else (lower, upper)
        values["labels"] = json.loads(values["labels"])
        values["receivers"] = tuple(json.loads(values["receivers"]))
        return cls(**values)

    def save(self, connection: sqlite3.Connection) -> None:
        """Insert or replace, in the caller's transaction."""
        lower, upper = self.interval or (None, None)
        connection.execute(
            "INSERT OR REPLACE INTO alert_state VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.rule,
                self.service,
                self.judge,
                self.state,
                self.active_since,
                self.fired_at,
                self.held_at,
                self.value,
                lower,
                upper,
                self.samples,
                json.dumps(self.labels),
                json.dumps(self.receivers),
            ),
        )

    def delete(self, connection: sqlite3.Connection) -> None:
        """Forget it, in the caller's transaction."""
        connection.execute("DELETE FROM alert_state WHERE rule = ? AND service = ?", (self.rule, self.service))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStatus:
    """Where a rule of the configuration stands for one service, for metrics and the dashboard.

    Attributes:
        since: when the condition was first established, Unix seconds; None while inactive.
        value, interval: the rule's quantity at the last evaluation; None without data.
        samples: what they rest on.
    """

    rule: AlertRule
    service: str
    state: AlertState
    since: float | None
    value: float | None
    interval: Interval | None
    samples: int
