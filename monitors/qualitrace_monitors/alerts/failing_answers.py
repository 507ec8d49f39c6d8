"""Answers that show what an alert is about: distinct ones, with personal data masked."""

import sqlite3

from qualitrace_monitors.alerts.quoting import quoted
from qualitrace_monitors.alerts.slices import ScoresOf
from qualitrace_monitors.notify.payload import Links

SHOWN = 3
_READ = 200
"""Scores among which distinct ones are looked for."""

QUESTION_CHARACTERS, ANSWER_CHARACTERS, RATIONALE_CHARACTERS = 300, 500, 300


def failing_answers(
    connection: sqlite3.Connection, scores: ScoresOf, since: float, now: float, links: Links, order: str
) -> str:
    """Return a few of the worst answers since a moment as lines: address and score, question, answer, and why.

    Args:
        since, now: Unix seconds.
        order: SQL of the order of scores, the worst first; may begin with a condition of its own.
    """
    rows = scores.read(
        connection,
        ", trace_id, rationale, ifnull(question, '') AS question, ifnull(answer, '') AS answer "
        "FROM score LEFT JOIN (SELECT trace_id, question, answer FROM answer) USING (trace_id)",
        f"scored_at >= ? AND score.completed_at <= ? {order}",
        (since, now),
        _READ,
    )
    distinct: dict[object, sqlite3.Row] = {}
    for row in rows:
        said = row["question"].lower(), row["answer"].lower()
        distinct.setdefault(said if any(said) else row["trace_id"], row)
    return "".join(f"\n{_lines(row, links)}" for row in [*distinct.values()][:SHOWN])


def _lines(row: sqlite3.Row, links: Links) -> str:
    texts = (
        ("question", row["question"], QUESTION_CHARACTERS),
        ("answer", row["answer"], ANSWER_CHARACTERS),
        ("why", row["rationale"], RATIONALE_CHARACTERS),
    )
    shown = (f"\n  {name}: {quoted(text, most)}" for name, text, most in texts if text)
    return f"- {links.trace_page(row['trace_id'])} scored {row['value']:.2f}{''.join(shown)}"
