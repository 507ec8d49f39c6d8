"""The outbox: notifications written with the change that they report, kept until they have arrived."""

import sqlite3
from typing import NamedTuple

from qualitrace_collector.state import Database
from qualitrace_monitors.notify import history
from qualitrace_monitors.notify.receiver import Notification, new_id


class Waiting(NamedTuple):
    """What waits for a receiver.

    Attributes:
        notifications: how many.
        oldest_at: since when the oldest of them waits, Unix seconds.
    """

    notifications: int
    oldest_at: float


class LastDelivery(NamedTuple):
    """How the last attempt at a receiver ended; times are Unix seconds.

    Attributes:
        outcome: sent, failed or given_up.
        reason: why it was not taken; empty if it was.
        problem: the same in words without addresses and contents, or what is wrong although it was taken.
        sent_at: when the last notification was taken; None if none was.
    """

    receiver: str
    outcome: str
    reason: str
    problem: str
    at: float
    sent_at: float | None


class Outbox:
    """The notifications that wait, in a queue for each receiver, and how the last one of each went."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def put(connection: sqlite3.Connection, receiver: str, body: str, now: float, topic: str = "") -> str:
        """Enqueue `body`, due at once, in the caller's transaction; return the notification's id.

        A notification with a `topic` takes the place of one of the same topic that still waits for the receiver, with
        its age and the pause until its next attempt: a receiver that comes back needs the newest of a topic, not the
        backlog.
        """
        identity = new_id()
        if topic:
            replaced = connection.execute(
                "UPDATE outbox SET id = ?, body = ? WHERE receiver = ? AND topic = ?",
                (identity, body, receiver, topic),
            )
            if replaced.rowcount:
                return identity
        connection.execute(
            "INSERT INTO outbox (id, receiver, topic, body, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?)",
            (identity, receiver, topic, body, now, now),
        )
        return identity

    def waiting(self) -> dict[str, Waiting]:
        """Return what waits, by receiver."""
        query = "SELECT receiver, count(*) AS count, min(created_at) AS oldest FROM outbox GROUP BY receiver"
        return {row["receiver"]: Waiting(row["count"], row["oldest"]) for row in self._database.rows(query)}

    def first(self, receiver: str) -> Notification | None:
        """Return the oldest notification for `receiver`."""
        query = (
            "SELECT id, receiver, body, created_at, due_at, attempts FROM outbox "
            "WHERE receiver = ? ORDER BY sequence LIMIT 1"
        )
        row = self._database.connection().execute(query, (receiver,)).fetchone()
        return None if row is None else Notification(**dict(row))

    def last_deliveries(self) -> list[LastDelivery]:
        """Return how the last attempt at each receiver ended, in order of their names."""
        columns = ", ".join(LastDelivery._fields)
        return [LastDelivery(*row) for row in self._database.rows(f"SELECT {columns} FROM delivery ORDER BY receiver")]

    def remove(self, notification: Notification, outcome: str, now: float, reason: str = "", problem: str = "") -> None:
        """Delete a notification that was sent or given up, and note it."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM outbox WHERE id = ?", (notification.id,))
            history.note(connection, notification.id, outcome, reason or problem, now)
            _note(connection, notification.receiver, outcome, now, reason, problem)

    def postpone(self, notification: Notification, due_at: float, now: float, reason: str, problem: str) -> None:
        """Record a failed attempt at the oldest notification, and when to try again."""
        with self._database.transaction() as connection:
            # A newer one of its topic may have taken its place, and its id, during the attempt.
            connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, due_at = ?, last_error = ? "
                "WHERE sequence = (SELECT min(sequence) FROM outbox WHERE receiver = ?)",
                (due_at, reason, notification.receiver),
            )
            history.note(connection, notification.id, "failed", reason, now)
            _note(connection, notification.receiver, "failed", now, reason, problem)


def _note(connection: sqlite3.Connection, receiver: str, outcome: str, now: float, reason: str, problem: str) -> None:
    connection.execute(
        "INSERT INTO delivery (receiver, outcome, reason, problem, at, sent_at) "
        "VALUES (:receiver, :outcome, :reason, :problem, :at, :sent_at) ON CONFLICT (receiver) DO UPDATE SET "
        "outcome = :outcome, reason = :reason, problem = :problem, at = :at, sent_at = coalesce(:sent_at, sent_at)",
        {
            "receiver": receiver,
            "outcome": outcome,
            "reason": reason,
            "problem": problem,
            "at": now,
            "sent_at": now if outcome == "sent" else None,
        },
    )
