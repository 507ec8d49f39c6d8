"""What waits in the state database: log records for their span, and people's feedback for its trace.

Log records come before their span if they hold, for instance, the prompt of a call that is still running. On disk they
hold neither memory nor the journal: a span may take hours, or have been sampled out.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state.database import Database


class EarlyLogs:
    """The log records that wait for their span, by MLflow's trace id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, trace_ids: Iterable[str]) -> dict[str, list[LogRecord]]:
        """Return what waits for spans of these traces."""
        rows = self._database.rows(
            "SELECT trace_id, logs FROM early_log WHERE trace_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(trace_ids)),),
        )
        requests = {row["trace_id"]: ExportLogsServiceRequest.FromString(row["logs"]) for row in rows}
        return {key: list(request.resource_logs[0].scope_logs[0].log_records) for key, request in requests.items()}

    @staticmethod
    def replace(connection: sqlite3.Connection, trace_id: str, records: Sequence[LogRecord], now: float) -> None:
        """Let these records wait for spans of a trace, in place of those before, in the caller's transaction."""
        connection.execute("DELETE FROM early_log WHERE trace_id = ?", (trace_id,))
        if records:
            request = ExportLogsServiceRequest()
            request.resource_logs.add().scope_logs.add(log_records=records)
            connection.execute("INSERT INTO early_log VALUES (?, ?, ?)", (trace_id, request.SerializeToString(), now))

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float, max_size: int) -> int:
        """Drop what is older, and the oldest beyond `max_size` bytes; return the number of traces."""
        return connection.execute(
            "DELETE FROM early_log WHERE recorded_at < ? OR trace_id IN (SELECT trace_id FROM (SELECT trace_id, "
            "sum(length(logs)) OVER (ORDER BY recorded_at DESC, trace_id) AS size FROM early_log) WHERE size > ?)",
            (older_than, max_size),
        ).rowcount


SHORTEST_WAIT_SECONDS = 1.0


class WaitingFeedback:
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
