"""What a cascade's model would say of an answer: guessed from the local verdict and what it said of earlier ones."""

import json
import sqlite3
from typing import NamedTuple

PRIOR, MEMORY = 5.0, 400.0
"""What the local verdict itself counts in a guess, and how many of the model's answers do, at most."""

_SOFTENED = {"pass": 0.9, "unsure": 0.5, "fail": 0.1}


class Answer(NamedTuple):
    """A verdict as numbers from 0 to 1, or a guess of it."""

    value: float
    passed: float
    not_failed: float


def answers_of(value: float, label: str) -> Answer:
    """Return a verdict as numbers."""
    return Answer(value, float(label == "pass"), float(label != "fail"))


class Guesses:
    """The guesses of all cascades and services, in a transaction of the caller's; `save` ends it.

    They are by the local label and the tenth that the local value is in. Another version of a judge begins anew.

    Rows are those of `joined_score`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: dict[tuple[str, str], tuple[str, dict[str, list[float]]]] = {}

    def guess(self, row: sqlite3.Row) -> Answer:
        """Guess what the model says, or would have said."""
        count, *sums = self._bins(row).get(_bin(row), [0.0] * 4)
        likely = _SOFTENED[row["label"]]
        prior = (row["value"], likely, likely)
        return Answer(*((PRIOR * own + total) / (PRIOR + count) for own, total in zip(prior, sums, strict=True)))

    def learn(self, row: sqlite3.Row, found: Answer) -> None:
        """Learn what the model said."""
        known = self._bins(row).get(_bin(row), [0.0] * 4)
        kept = min(1.0, (MEMORY - 1) / known[0]) if known[0] else 1.0
        self._bins(row)[_bin(row)] = [kept * old + new for old, new in zip(known, (1.0, *found), strict=True)]

    def _bins(self, row: sqlite3.Row) -> dict[str, list[float]]:
        """Return, by bin, how many answers are known, and the sums over them."""
        key = row["judge"], row["service"]
        if key not in self._read:
            query = "SELECT version, bins FROM joined_guess WHERE judge = ? AND service = ?"
            kept = self._connection.execute(query, key).fetchone()
            self._read[key] = (kept["version"], json.loads(kept["bins"])) if kept else ("", {})
        if self._read[key][0] != row["version"]:
            self._read[key] = row["version"], {}
        return self._read[key][1]

    def save(self) -> None:
        """Write what was learned."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO joined_guess (judge, service, version, bins) VALUES (?, ?, ?, ?)",
            [(*key, version, json.dumps(bins)) for key, (version, bins) in self._read.items()],
        )


def _bin(row: sqlite3.Row) -> str:
    return f"{row['label']} {min(9, int(10 * row['value']))}"
