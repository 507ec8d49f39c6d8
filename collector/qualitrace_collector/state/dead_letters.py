"""Dead letters: traces and requests that were given up, kept with their payload until somebody decides on them."""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qualitrace_collector.state.database import Database

MAX_ERROR_LENGTH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What was given up.

    Attributes:
        trace_id: MLflow's trace id, or `request-` and a number for what could not even be decoded.
        service: the service that the trace is counted under.
        error: why it was given up.
        traces: serialised ExportTraceServiceRequest.
        logs: serialised ExportLogsServiceRequest; empty if no log record came with the trace.
        recorded_at: Unix seconds.
        tenant: whose it is; empty without tenants.
    """

    trace_id: str
    service: str
    error: str
    traces: bytes = b""
    logs: bytes = b""
    recorded_at: float = 0.0
    tenant: str = ""

    @property
    def letter_id(self) -> str:
        """Twelve hex digits of the content's SHA-256, so that giving up the same again makes no second letter."""
        digest = hashlib.sha256(self.trace_id.encode())
        for payload in (self.traces, self.logs):
            digest.update(hashlib.sha256(payload).digest())
        return digest.hexdigest()[:12]

    @property
    def size(self) -> int:
        """The bytes of its payload."""
        return len(self.traces) + len(self.logs)


class DeadLetters:
    """The dead letters of a state database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def put(connection: sqlite3.Connection, letter: DeadLetter) -> None:
        """Keep a letter, in the caller's transaction; one with the same content is renewed."""
        connection.execute(
            "INSERT OR REPLACE INTO dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                letter.letter_id,
                letter.trace_id,
                letter.service,
                letter.error[:MAX_ERROR_LENGTH],
                letter.traces,
                letter.logs,
                letter.recorded_at,
                letter.tenant,
            ),
        )

    def summaries(self, newest: int | None = None) -> list[dict[str, Any]]:
        """Return letters without their payloads, but with their sizes: all, the oldest first, or the newest ones."""
        query = (
            "SELECT letter_id AS id, trace_id, service, recorded_at, error, length(traces) + length(logs) AS size "
            "FROM dead_letter ORDER BY recorded_at"
        )
        if newest is None:
            return [dict(row) for row in self._database.rows(f"{query}, letter_id")]
        return [dict(row) for row in self._database.rows(f"{query} DESC LIMIT ?", (newest,))]

    def get(self, letter_id: str) -> DeadLetter | None:
        """Return a letter with its payload, or None if there is none with that id."""
        columns = "trace_id, service, error, traces, logs, recorded_at, tenant"
        rows = self._database.rows(f"SELECT {columns} FROM dead_letter WHERE letter_id = ?", (letter_id,))
        return DeadLetter(**dict(rows[0])) if rows else None

    def remove(self, letters: Sequence[DeadLetter]) -> None:
        """Delete these letters, except those that were given up again since they were read."""
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM dead_letter WHERE letter_id = ? AND recorded_at = ?",
                [(letter.letter_id, letter.recorded_at) for letter in letters],
            )

    def count(self) -> int:
        """Count the letters that wait for a decision."""
        return int(self._database.rows("SELECT count(*) FROM dead_letter")[0][0])
