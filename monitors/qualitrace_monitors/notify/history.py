"""What fired and when it was over, and what became of each notification of it: for the pages, not for delivery."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qualitrace_collector.state import Database
from qualitrace_monitors.notify.payload import Alert

KEEP_SECONDS = 30 * 86_400.0
"""As long as scores, whose texts a description quotes."""
MOST_EVENTS = 5_000
"""With texts of some kilobytes each, tens of megabytes: a rule that flaps must not fill the disk."""
MOST_TEXT = 8_000
"""Characters of a description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a notification.

    Attributes:
        status: of the alert: firing or resolved.
        outcome: waiting, sent, failed (and tried again) or given_up.
        reason: why it was not taken; empty if it was.
        attempts: how many there were.
        at: of the last change, Unix seconds.
    """

    status: str
    receiver: str
    outcome: str
    reason: str
    attempts: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An alert from its firing to its end; times are Unix seconds.

    Attributes:
        number: ascending in order of firing.
        began_at: about when that began which it is about.
        resolved_at: None while it fires.
        resolution: what was said at its end; empty before.
        deliveries: of its notifications; none if the rule has no receiver.
    """

    number: int
    rule: str
    service: str
    judge: str
    severity: str
    began_at: float
    fired_at: float
    resolved_at: float | None
    summary: str
    description: str
    resolution: str
    deliveries: tuple[Delivery, ...] = ()


def record(connection: sqlite3.Connection, alert: Alert, now: float, began_at: float) -> int:
    """Record that an alert fires, or has ended, in the caller's transaction; return the event's number."""
    query = "SELECT number FROM alert_event WHERE fingerprint = ? AND resolved_at IS NULL ORDER BY number DESC"
    row = connection.execute(query, (alert.fingerprint,)).fetchone()
    number: int = _insert(connection, alert, began_at) if row is None else row["number"]
    if alert.ends_at is not None:
        update = "UPDATE alert_event SET resolved_at = ?, resolution = ? WHERE number = ?"
        connection.execute(update, (now, alert.annotations.get("summary", ""), number))
    return number


def _insert(connection: sqlite3.Connection, alert: Alert, began_at: float) -> int:
    values: dict[str, Any] = {
        "fingerprint": alert.fingerprint,
        "rule": alert.labels.get("alertname", ""),
        **{name: alert.labels.get(name, "") for name in ("service", "judge", "severity")},
        "began_at": began_at,
        "fired_at": alert.starts_at,
        "summary": alert.annotations.get("summary", "")[:MOST_TEXT],
        "description": alert.annotations.get("description", "")[:MOST_TEXT],
        "resolution": "",
    }
    places = ", ".join(f":{name}" for name in values)
    query = f"INSERT INTO alert_event ({', '.join(values)}) VALUES ({places}) RETURNING number"
    number: int = connection.execute(query, values).fetchone()["number"]
    _delete(connection, "number <= ?", (number - MOST_EVENTS,))
    return number


def expect(
    connection: sqlite3.Connection, event: int, status: str, receiver: str, notification: str, now: float
) -> None:
    """Record that a notification of an event waits for a receiver, in the caller's transaction."""
    values = (event, status, receiver, notification, now)
    connection.execute("INSERT OR REPLACE INTO alert_delivery VALUES (?, ?, ?, ?, 'waiting', '', 0, ?)", values)


def note(connection: sqlite3.Connection, notification: str, outcome: str, reason: str, now: float) -> None:
    """Record how an attempt ended, in the caller's transaction; heartbeats and repeats are of no event."""
    connection.execute(
        "UPDATE alert_delivery SET outcome = ?, reason = ?, attempts = attempts + 1, at = ? WHERE notification = ?",
        (outcome, reason, now, notification),
    )


def prune(database: Database, now: float) -> None:
    """Delete events that ended, or fired and never ended, long ago."""
    with database.transaction() as connection:
        _delete(connection, "coalesce(resolved_at, fired_at) < ?", (now - KEEP_SECONDS,))


def _delete(connection: sqlite3.Connection, where: str, parameters: tuple[float]) -> None:
    events = f"SELECT number FROM alert_event WHERE {where}"
    connection.execute(f"DELETE FROM alert_delivery WHERE event IN ({events})", parameters)
    connection.execute(f"DELETE FROM alert_event WHERE {where}", parameters)


def events(
    database: Database, most: int, *, rule: str = "", service: str = "", before: int | None = None, since: float = 0.0
) -> list[Event]:
    """Return events, the newest first, with their deliveries.

    Args:
        most: how many at most.
        rule, service: only these; empty for all.
        before: only those with lower numbers.
        since: only those that fired, or ended, at or after this moment, Unix seconds.
    """
    conditions = ["coalesce(resolved_at, fired_at) >= ?"]
    parameters: list[float | str] = [since]
    for column, value in (("rule", rule), ("service", service)):
        if value:
            conditions.append(f"{column} = ?")
            parameters.append(value)
    if before is not None:
        conditions.append("number < ?")
        parameters.append(before)
    query = f"SELECT * FROM alert_event WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?"
    return _with_deliveries(database, database.rows(query, (*parameters, most)))


def event(database: Database, number: int) -> Event | None:
    """Return an event by its number; None if there is none."""
    found = _with_deliveries(database, database.rows("SELECT * FROM alert_event WHERE number = ?", (number,)))
    return found[0] if found else None


def _with_deliveries(database: Database, rows: Sequence[sqlite3.Row]) -> list[Event]:
    deliveries: dict[int, list[Delivery]] = {row["number"]: [] for row in rows}
    places = ", ".join("?" * len(rows))
    query = f"SELECT * FROM alert_delivery WHERE event IN ({places}) ORDER BY event, status, receiver"
    for row in database.rows(query, (*deliveries,)):
        values = {name: row[name] for name in Delivery.__slots__}
        deliveries[row["event"]].append(Delivery(**values))
    columns = [name for name in Event.__slots__ if name != "deliveries"]
    return [Event(**{name: row[name] for name in columns}, deliveries=tuple(deliveries[row["number"]])) for row in rows]
