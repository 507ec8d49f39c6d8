"""Texts of answers, as far as notifications and pages show them; MLflow has the whole traces.

All that did not pass are kept, and some of those that did, so that experts can label both. Together they have a bound
in bytes: each service keeps its newest, with `FAILED_FOR_ONE_PASSED`.
"""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database

MAX_QUESTION, MAX_ANSWER = 1_000, 4_000
"""Characters that are kept: of an answer about a page, in which a reader finds the sentence that failed."""
MAX_PASSAGES, MAX_PASSAGE = 8, 500
"""Passages that are kept, and characters of each."""
PASSED_A_MINUTE = 6
"""How many passed answers of a service keep their texts: enough to draw labels from."""
MOST_BYTES = 256 << 20
"""How much all texts take, roughly: what came since the last `bound` is not counted."""
FAILED_FOR_ONE_PASSED = 4
"""How many answers of a service that did not pass are kept for each that did, where the bytes are short."""

_LINES = re.compile(r"\s*\n\s*\n\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What is kept of a trace.

    Attributes:
        seconds: how long the request took; None if it is not known.
    """

    question: str
    answer: str
    passages: tuple[str, ...]
    seconds: float | None

    @classmethod
    def of(cls, database: Database, trace_ids: Sequence[str]) -> dict[str, Self]:
        """Return the texts of those of the traces that have any, by trace id."""
        query = (
            "SELECT trace_id, question, answer, passages, seconds FROM answer "
            "WHERE trace_id IN (SELECT value FROM json_each(?))"
        )
        return {
            row["trace_id"]: cls(
                question=row["question"],
                answer=row["answer"],
                passages=tuple(json.loads(row["passages"])),
                seconds=row["seconds"],
            )
            for row in database.rows(query, (json.dumps(trace_ids),))
        }


def keep(
    connection: sqlite3.Connection, trace_id: str, sample: Sample, completed_at: float, *, passed: bool = False
) -> None:
    """Insert or replace the texts of a trace, in the caller's transaction.

    Args:
        completed_at: Unix seconds.
        passed: whether a judge passed it. One that another judge did not pass counts as not passed.
    """
    service = sample.metadata.get("service", "")
    query = "SELECT question, answer, passages, passed FROM answer WHERE trace_id = ?"
    before = connection.execute(query, (trace_id,)).fetchone()
    if before is None and passed and _has_enough(connection, service, completed_at):
        return
    passed = passed and (before is None or bool(before["passed"]))
    passages = [_cut(text, MAX_PASSAGE) for text in sample.passages[:MAX_PASSAGES]]
    texts = _cut(sample.inputs, MAX_QUESTION), _cut(sample.outputs, MAX_ANSWER), json.dumps(passages)
    if before is not None and tuple(before) == (*texts, passed):  # by another judge, a moment ago
        return
    seconds = sample.metadata.get("seconds")
    connection.execute(
        "INSERT OR REPLACE INTO answer (trace_id, question, answer, passages, completed_at, service, passed, seconds, "
        "size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (trace_id, *texts, completed_at, service, passed, seconds, sum(len(text.encode()) for text in texts)),
    )


def _has_enough(connection: sqlite3.Connection, service: str, now: float) -> bool:
    query = "SELECT count(*) FROM answer WHERE service = ? AND passed = 1 AND completed_at BETWEEN ? AND ?"
    return connection.execute(query, (service, now - 60, now)).fetchone()[0] >= PASSED_A_MINUTE


def prune(connection: sqlite3.Connection, older_than: float) -> None:
    """Delete those of traces that were completed before `older_than` (Unix seconds), in the caller's transaction."""
    connection.execute("DELETE FROM answer WHERE completed_at < ?", (older_than,))


def bound(database: Database, most_bytes: int = MOST_BYTES) -> None:
    """Delete the oldest texts of the services that have most, until there are about `most_bytes`."""
    if database.rows("SELECT ifnull(sum(size), 0) FROM answer")[0][0] <= most_bytes:
        return
    beyond = database.rows(
        f"""SELECT trace_id FROM (
            SELECT trace_id, sum(size) OVER (ORDER BY place, completed_at DESC, trace_id) AS total FROM (
                SELECT trace_id, size, completed_at, iif(passed, {FAILED_FOR_ONE_PASSED}, 1)
                    * row_number() OVER (PARTITION BY service, passed ORDER BY completed_at DESC) AS place FROM answer))
        WHERE total > ?""",
        (most_bytes,),
    )
    if beyond:
        with database.transaction() as connection:
            connection.executemany("DELETE FROM answer WHERE trace_id = ?", [tuple(row) for row in beyond])


def _cut(text: str, most: int) -> str:
    """Return at most `most` characters of a text, with at most one empty line in a row."""
    text = text.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be stored
    kept = _LINES.sub("\n\n", text[: 4 * most].strip())  # blanks may be most of it
    return kept if len(kept) <= most and len(text) <= 4 * most else kept[: most - 1] + "…"


def shortened(text: str, most: int) -> str:
    """Return the text in one line of at most `most` characters."""
    line = " ".join(text[: 4 * most].split())  # blanks may be most of it
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"
