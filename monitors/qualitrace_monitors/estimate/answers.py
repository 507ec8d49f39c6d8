"""Questions and answers that did not pass, as far as notifications and pages show them; MLflow has the whole traces."""

import sqlite3

from qualitrace_collector.sample import Sample

MAX_QUESTION, MAX_ANSWER = 500, 1_000
"""Characters that are kept."""


def keep(connection: sqlite3.Connection, trace_id: str, sample: Sample, completed_at: float) -> None:
    """Insert or replace the texts of a trace, in the caller's transaction; `completed_at` is in Unix seconds."""
    texts = shortened(sample.inputs, MAX_QUESTION), shortened(sample.outputs, MAX_ANSWER)
    connection.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?)", (trace_id, *texts, completed_at))


def prune(connection: sqlite3.Connection, older_than: float) -> None:
    """Delete those of traces that were completed before `older_than` (Unix seconds), in the caller's transaction."""
    connection.execute("DELETE FROM answer WHERE completed_at < ?", (older_than,))


def shortened(text: str, most: int) -> str:
    """Return the text in one line of at most `most` characters."""
    line = " ".join(text[: 4 * most].split())  # blanks may be most of it
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"
