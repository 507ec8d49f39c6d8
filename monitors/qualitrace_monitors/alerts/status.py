"""Where each alert stands, one row per (rule, service) in the state database, and how evidence changes that.

    inactive ── established ──▶ pending ── for `for` ──▶ firing ── recovered, and not established
        ▲                          │                        │      for `keep_firing_for`
        └──── not established ─────┴────────────────────────┘

A firing alert stays firing while nothing shows a recovery: silence is none.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.interval import Interval

AlertState = Literal["inactive", "pending", "firing"]
STATES: Sequence[AlertState] = ("firing", "pending", "inactive")
"""The most urgent first."""
Evidence = Literal["established", "recovered", "inconclusive"]
"""What a rule's watch says: the condition holds; it does not hold, or no more; nothing, as no score came yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStatus:
    """The status of a rule, by its name, for a service; times are Unix seconds.

    Attributes:
        active_since: when the condition was first established; None while inactive.
        fired_at: when the alert began to fire; None unless firing.
        held_at: when the condition was last established; None unless firing.
        value, interval: the rule's quantity at the last evaluation; None without data.
        samples: how many scores they rest on.
        labels, receivers: those of the firing notification, which the resolved one repeats; empty unless firing.
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
    def load(cls, connection: sqlite3.Connection, rule: str, service: str) -> Self | None:
        """Read one row; None if there is none."""
        query = "SELECT * FROM alert_state WHERE rule = ? AND service = ?"
        row = connection.execute(query, (rule, service)).fetchone()
        return None if row is None else cls._from_row(row)

    @classmethod
    def _from_row(cls, row: sqlite3.Row) -> Self:
        values: dict[str, Any] = dict(row)
        lower, upper = values.pop("lower"), values.pop("upper")
        values["interval"] = None if lower is None else (lower, upper)
        values["labels"] = json.loads(values["labels"])
        values["receivers"] = tuple(json.loads(values["receivers"]))
        return cls(**values)

    def moved(self, seconds: float) -> Self:
        """Return the status with its times as a clock shows them that was set by that many seconds."""
        since, held_at = self.active_since, self.held_at
        return replace(
            self,
            active_since=None if since is None else since + seconds,
            held_at=None if held_at is None else held_at + seconds,
        )

    def save(self, connection: sqlite3.Connection) -> None:
        """Insert or replace the row, in the caller's transaction."""
        values = asdict(self)
        values["lower"], values["upper"] = values.pop("interval") or (None, None)
        values["labels"], values["receivers"] = json.dumps(self.labels), json.dumps(self.receivers)
        places = ", ".join(f":{column}" for column in values)
        connection.execute(f"INSERT OR REPLACE INTO alert_state ({', '.join(values)}) VALUES ({places})", values)

    def delete(self, connection: sqlite3.Connection) -> None:
        """Delete the row, in the caller's transaction."""
        connection.execute("DELETE FROM alert_state WHERE rule = ? AND service = ?", (self.rule, self.service))


def advance(status: AlertStatus, rule: AlertRule, evidence: Evidence, now: float) -> AlertStatus:
    """Return the status after an evaluation at `now`."""
    if status.state == "firing":
        return _while_firing(status, rule, evidence, now)
    if evidence != "established":
        return replace(status, state="inactive", active_since=None)
    since = now if status.active_since is None else min(now, status.active_since)  # a clock may have been set back
    if now - since < rule.hold_for:
        return replace(status, state="pending", active_since=since)
    return replace(status, state="firing", active_since=since, fired_at=now, held_at=now)


def _while_firing(status: AlertStatus, rule: AlertRule, evidence: Evidence, now: float) -> AlertStatus:
    if evidence == "established":
        return replace(status, held_at=now)
    held_at = now if status.held_at is None else min(now, status.held_at)
    if evidence == "recovered" and now - held_at >= rule.keep_firing_for:
        return replace(status, state="inactive", active_since=None, fired_at=None, held_at=None)
    return replace(status, held_at=held_at)
