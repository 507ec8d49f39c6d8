"""People's feedback that waits until its trace is in MLflow, and complete."""

import sqlite3

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state.database import Database

SHORTEST_WAIT_SECONDS = 1.0


class FeedbackBox:
    """Feedback on its way from the journal to MLflow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def put(connection: sqlite3.Connection, feedback: PersonFeedback, received_at: float) -> None:
        """Keep feedback, once however often it is sent, in the caller's transaction."""
        connection.execute(
            "INSERT OR IGNORE INTO feedback VALUES (?, ?, ?, ?)",
            (feedback.assessment_id, feedback.model_dump_json(), received_at, received_at),
        )

    def due(self, now: float, limit: int) -> list[tuple[PersonFeedback, float]]:
        """Return feedback that is to be tried now, with the time it was received (Unix seconds)."""
        rows = self._database.rows(
            "SELECT content, received_at FROM feedback WHERE due_at <= ? ORDER BY due_at LIMIT ?", (now, limit)
        )
        return [(PersonFeedback.model_validate_json(row["content"]), row["received_at"]) for row in rows]

    @staticmethod
    def postpone(connection: sqlite3.Connection, feedback: PersonFeedback, now: float) -> None:
        """Try again when the feedback is twice as old as at `now`, in the caller's transaction."""
        connection.execute(
            "UPDATE feedback SET due_at = ?1 + max(?2, ?1 - received_at) WHERE assessment_id = ?3",
            (now, SHORTEST_WAIT_SECONDS, feedback.assessment_id),
        )

    @staticmethod
    def remove(connection: sqlite3.Connection, feedback: PersonFeedback) -> None:
        """Forget feedback that is stored or given up, in the caller's transaction."""
        connection.execute("DELETE FROM feedback WHERE assessment_id = ?", (feedback.assessment_id,))
