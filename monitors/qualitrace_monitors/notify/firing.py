"""Alerts that fire, by receiver: some kinds get it again and again, so that silence means that it is over."""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from qualitrace_collector.state import Database
from qualitrace_monitors.notify import history
from qualitrace_monitors.notify.outbox import Outbox
from qualitrace_monitors.notify.payload import ALERT_PAGE, Alert, Links, webhook_payload


def announce(
    connection: sqlite3.Connection,
    alert: Alert,
    receivers: Iterable[str],
    links: Links,
    now: float,
    began_at: float | None = None,
) -> None:
    """Enqueue a change of an alert for each receiver and record it, in the caller's transaction.

    Args:
        now: Unix seconds.
        began_at: about when that began which the alert is about, in Unix seconds; by default when it fired.
    """
    event = history.record(connection, alert, now, alert.starts_at if began_at is None else began_at)
    with_page = _with_page(alert, links.alert_page(event))
    for receiver in receivers:
        body = webhook_payload(with_page, receiver, links)
        history.expect(connection, event, alert.status, receiver, Outbox.put(connection, receiver, body, now), now)
        if alert.ends_at is None:
            values = (receiver, alert.fingerprint, body, now)
            connection.execute("INSERT OR REPLACE INTO firing_alert VALUES (?, ?, ?, ?)", values)
        else:
            where = "receiver = ? AND fingerprint = ?"
            connection.execute(f"DELETE FROM firing_alert WHERE {where}", (receiver, alert.fingerprint))


def _with_page(alert: Alert, page: str) -> Alert:
    """Return an alert that leads to its own page, also in its text: below the first line, before what may be cut."""
    first, *rest = alert.annotations.get("description", "").split("\n", 1)
    description = "\n".join(filter(None, (first, f"The alert's page: {page}", *rest)))
    return replace(alert, annotations={**alert.annotations, "description": description, ALERT_PAGE: page}, url=page)


def repeat_due(database: Database, receiver: str, every: float, now: float) -> None:
    """Enqueue again what fires and was enqueued for `receiver` at least `every` seconds ago.

    A repeat that still waits is replaced.
    """
    # A time in the future is of a clock that was set back since.
    due = "receiver = ? AND NOT (enqueued_at > ? AND enqueued_at <= ?)"
    parameters = (receiver, now - every, now)
    if not database.rows(f"SELECT 1 FROM firing_alert WHERE {due} LIMIT 1", parameters):
        return  # the usual case takes no write lock
    with database.transaction() as connection:
        for row in connection.execute(f"SELECT fingerprint, body FROM firing_alert WHERE {due}", parameters).fetchall():
            Outbox.put(connection, receiver, row["body"], now, topic=f"repeat {row['fingerprint']}")
        connection.execute(f"UPDATE firing_alert SET enqueued_at = ? WHERE {due}", (now, *parameters))
