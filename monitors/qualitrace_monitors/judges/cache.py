"""Verdicts that were paid for once, by the judge's version, which covers model and prompt, and by content."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from qualitrace_collector.state import Database
from qualitrace_monitors.judges.contract import Judge, Score, Usage

KEEP_SECONDS = 7 * 86_400.0


class VerdictCache:
    """The verdicts in a state database; times are Unix seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, judge: Judge, content_hash: str, now: float) -> Score | None:
        """Return an earlier verdict on the same content, at no cost; None without one."""
        query = "SELECT score FROM verdict WHERE key = ? AND given_at > ?"
        sought = (_key(judge, content_hash), now - KEEP_SECONDS)
        row = self._database.connection().execute(query, sought).fetchone()
        if row is None:
            return None
        fields: dict[str, Any] = json.loads(row[0])
        details = (*((key, value) for key, value in fields.pop("details")), ("cached", "true"))
        return replace(Score(**fields, details=details), **Usage()._asdict())

    def known(self, sought: Sequence[tuple[Judge, str]], now: float) -> list[bool]:
        """Return for each judge and hash of a content whether there is a verdict."""
        keys = [_key(judge, content_hash) for judge, content_hash in sought]
        query = "SELECT key FROM verdict WHERE key IN (SELECT value FROM json_each(?)) AND given_at > ?"
        found = {row[0] for row in self._database.rows(query, (json.dumps(keys), now - KEEP_SECONDS))}
        return [key in found for key in keys]

    @staticmethod
    def save(connection: sqlite3.Connection, judge: Judge, content_hash: str, score: Score, now: float) -> None:
        """Save a verdict in the caller's transaction."""
        values = (_key(judge, content_hash), json.dumps(asdict(score)), now)
        connection.execute("INSERT OR REPLACE INTO verdict VALUES (?, ?, ?)", values)

    def prune(self, now: float) -> None:
        """Delete the verdicts that are older than `KEEP_SECONDS`."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM verdict WHERE given_at <= ?", (now - KEEP_SECONDS,))


def _key(judge: Judge, content_hash: str) -> str:
    return hashlib.sha256(f"{judge.version}\0{content_hash}".encode()).hexdigest()
