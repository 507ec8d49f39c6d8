"""Where each alert stands: one row per (rule, service) in the state database."""

import json
import sqlite3
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from qualitrace_monitors.estimate.interval import Interval

AlertState = Literal["inactive", "pending", "firing"]


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
    def _from_row(cls, row: sqlite3.Row) -> Self:
        values: dict[str, Any] = dict(row)
        lower, upper = values.pop("lower"), values.pop("upper")
        values["interval"] = None if lower is None else (lower, upper)
        values["labels"] = json.loads(values["labels"])
        values["receivers"] = tuple(json.loads(values["receivers"]))
        return cls(**values)

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
