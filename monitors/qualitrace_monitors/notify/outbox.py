"""Notifications that wait to be delivered: written with the change they tell of, kept until they arrived."""

import sqlite3
import uuid
from dataclasses import dataclass

from qualitrace_collector.state import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A notification for one receiver.

    Attributes:
        id: the `webhook-id`; the same at every attempt, so that a receiver can tell a repeat.
        created_at, due_at: Unix seconds.
        attempts: how many failed.
    """

    id: str
    receiver: str
    body: str
    created_at: float
    due_at: float
    attempts: int


class Outbox:
    """One queue a receiver, first in, first out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def put(connection: sqlite3.Connection, receiver: str, body: str, now: float, topic: str = "") -> None:
        """Enqueue `body`, due at once, in the caller's transaction.

        A message with a `topic` replaces those of the same topic that still wait for the receiver.
        """
        if topic:
            connection.execute("DELETE FROM outbox WHERE receiver = ? AND topic = ?", (receiver, topic))
        connection.execute(
            "INSERT INTO outbox (id, receiver, topic, body, created_at, due_at) VALUES (?, ?, ?, ?, ?, ?)",
            (f"msg_{uuid.uuid4().hex}", receiver, topic, body, now, now),
        )

    def receivers(self) -> list[str]:
        """Name the receivers for which something waits."""
        rows = self._database.connection().execute("SELECT DISTINCT receiver FROM outbox ORDER BY receiver")
        return [row["receiver"] for row in rows]

    def first(self, receiver: str) -> Message | None:
        """Return the oldest message for `receiver`; the later ones wait behind it."""
        row = (
            self._database.connection()
            .execute(
                "SELECT id, receiver, body, created_at, due_at, attempts FROM outbox "
                "WHERE receiver = ? ORDER BY sequence LIMIT 1",
                (receiver,),
            )
            .fetchone()
        )
        return None if row is None else Message(**dict(row))

    def remove(self, message: Message) -> None:
        """Forget a message that was delivered or given up."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM outbox WHERE id = ?", (message.id,))

    def postpone(self, message: Message, due_at: float, error: str) -> None:
        """Note a failed attempt and when to try again."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, due_at = ?, last_error = ? WHERE id = ?",
                (due_at, error, message.id),
            )
