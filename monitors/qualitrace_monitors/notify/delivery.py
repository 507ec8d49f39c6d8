"""The outbox and its delivery: written with the change that a notification reports, kept until it has arrived.

A notification is deleted after the receiver took it; after a crash in between it is sent again with the same id. Each
receiver gets its notifications in order, so that a resolved alert never overtakes its firing: while one waits for its
next attempt, the later ones wait behind it.
"""

import logging
import sqlite3
import uuid
from collections import Counter
from collections.abc import Mapping

from tenacity.wait import wait_exponential, wait_random_exponential

from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.state import Database
from qualitrace_monitors.notify.receivers import DeliveryFailed, Notification, Receiver

# Doubles from 1 s to 5 min; half of it is random, so that receivers that failed together are not asked together.
RETRY_WAIT = wait_exponential(multiplier=0.5, max=150) + wait_random_exponential(multiplier=0.5, max=150)

_log = logging.getLogger(__name__)


class Outbox:
    """The notifications that wait, in a queue for each receiver."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def put(connection: sqlite3.Connection, receiver: str, body: str, now: float, topic: str = "") -> None:
        """Enqueue `body`, due at once, in the caller's transaction.

        A notification with a `topic` replaces those of the same topic that still wait for the receiver.
        """
        # A receiver that comes back needs the newest of a topic, not the backlog.
        if topic:
            connection.execute("DELETE FROM outbox WHERE receiver = ? AND topic = ?", (receiver, topic))
        connection.execute(
            "INSERT INTO outbox (id, receiver, topic, body, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?)",
            (f"msg_{uuid.uuid4().hex}", receiver, topic, body, now, now),
        )

    def receivers(self) -> list[str]:
        """Return the names of the receivers for which something waits."""
        rows = self._database.connection().execute("SELECT DISTINCT receiver FROM outbox ORDER BY receiver")
        return [row["receiver"] for row in rows]

    def first(self, receiver: str) -> Notification | None:
        """Return the oldest notification for `receiver`."""
        query = (
            "SELECT id, receiver, body, created_at, due_at, attempts FROM outbox "
            "WHERE receiver = ? ORDER BY sequence LIMIT 1"
        )
        row = self._database.connection().execute(query, (receiver,)).fetchone()
        return None if row is None else Notification(**dict(row))

    def remove(self, notification: Notification) -> None:
        """Delete a notification that was delivered or given up."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM outbox WHERE id = ?", (notification.id,))

    def postpone(self, notification: Notification, due_at: float, error: str) -> None:
        """Record a failed attempt and when to try again."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, due_at = ?, last_error = ? WHERE id = ?",
                (due_at, error, notification.id),
            )


class Notifier:
    """Delivers the outbox to the configured receivers, from one thread."""

    def __init__(self, receivers: Mapping[str, Receiver], database: Database) -> None:
        self._receivers = receivers
        self._outbox = Outbox(database)
        self._totals: Counter[tuple[str, str]] = Counter()
        self._failing: set[str] = set()

    @property
    def notifications(self) -> dict[tuple[str, str], int]:
        """Totals by receiver and outcome since this process started.

        `sent` and `given_up` count notifications, `failed` counts attempts that will be repeated.
        """
        return dict(self._totals)

    def problem(self, receiver: str) -> str:
        """Say that a receiver did not take the last notification; empty if it did."""
        return "it does not take notifications: see the log" if receiver in self._failing else ""

    def deliver_due(self, now: float) -> None:
        """Deliver what is due at `now`, in Unix seconds; after a failure go on to the next receiver."""
        for name in self._outbox.receivers():
            while (notification := self._outbox.first(name)) and notification.due_at <= now:
                self._attempt(notification, now)

    def _attempt(self, notification: Notification, now: float) -> None:
        """Try once: afterwards the notification has left the outbox, or is due later."""
        receiver = self._receivers.get(notification.receiver)
        if receiver is None:
            self._give_up(notification, "no longer in the configuration")
            return
        try:
            receiver.deliver(notification, now)
        except Exception as error:  # whatever a kind of receiver raises must not stop the others
            self._failing.add(notification.receiver)
            failure = error if isinstance(error, DeliveryFailed) else DeliveryFailed(f"{type(error).__name__}: {error}")
            deadline = notification.created_at + receiver.give_up_after
            if failure.permanent or now >= deadline:
                self._give_up(notification, str(failure))
                return
            self._totals[notification.receiver, "failed"] += 1
            wait = max(seconds_after(notification.attempts + 1, RETRY_WAIT), failure.retry_after)
            self._outbox.postpone(notification, min(now + wait, deadline), str(failure))
        else:
            self._outbox.remove(notification)
            self._failing.discard(notification.receiver)
            self._totals[notification.receiver, "sent"] += 1

    def _give_up(self, notification: Notification, reason: str) -> None:
        self._outbox.remove(notification)
        self._totals[notification.receiver, "given_up"] += 1
        _log.error(
            "gave up notification %s to %r after %d failed attempts: %s",
            notification.id,
            notification.receiver,
            notification.attempts,
            reason,
        )
