"""The scores that a state database has kept, in the order in which alerts have bet on them.

They are copied first: a server beside it could not shorten its write-ahead log while one query goes on for minutes.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from qualitrace_collector.state import read_only
from qualitrace_monitors.estimate.scores import FIRST, ScoreRow

PAGE = 5_000
"""Scores in memory at once."""

# The rest of a score is of no concern to the rules.
_KEPT = ("trace_id", "judge", "tier", "weight", *FIRST)
_UNKEPT: dict[str, Any] = {
    "rationale": "",
    "inclusion_probability": 0.0,
    "assessment_id": "",
    "tokens": 0,
    "cost_usd": None,
    "completed_at": 0.0,
}


class History:
    """Scores in a file of their own.

    Attributes:
        scores: how many there are.
        services: of which services they are, by judge.
        unweighted: how many more there are whose weight nobody knows, from before an upgrade.
        last_at: when the last one came, Unix seconds; 0 without scores.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.scores, self.unweighted, self.last_at = 0, 0, 0.0
        self.services: dict[str, set[str]] = {}

    @classmethod
    def copy(
        cls,
        state: Path,
        into: Path,
        judges: Collection[str],
        since: float,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Self:
        """Copy the scores of some judges that came since a moment (Unix seconds) and on which rules have bet.

        Args:
            state: the state database, which is only read.
            into: a new file.
            progress: is told how many have been copied.

        Raises:
            StateError: the state database cannot be read, or is of another version.
        """
        made = cls(into)
        with closing(sqlite3.connect(into, isolation_level=None)) as copy, read_only(state) as source:
            # Whatever happens to it, the file is made anew next time.
            copy.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
            copy.execute(f"CREATE TABLE past ({', '.join(_KEPT)})")
            rows = source.execute(
                f"SELECT {', '.join(_KEPT)}, first FROM score "
                "WHERE scored_at >= ? AND judge IN (SELECT value FROM json_each(?)) AND weight IS NOT 0",
                (since, json.dumps([*judges])),
            )
            marks = ", ".join(f":{name}" for name in _KEPT)
            while page := rows.fetchmany(PAGE):
                taken = [row for row in map(_as_it_came, page) if row["scored_at"] >= since]
                weighted = [row for row in taken if row["weight"] is not None]
                copy.execute("BEGIN")
                copy.executemany(f"INSERT INTO past VALUES ({marks})", weighted)
                copy.execute("COMMIT")
                made.unweighted += len(taken) - len(weighted)
                made._count(weighted)
                progress(made.scores)
        return made

    def _count(self, rows: Collection[dict[str, Any]]) -> None:
        self.scores += len(rows)
        for row in rows:
            self.services.setdefault(row["judge"], set()).add(row["service"])
            self.last_at = max(self.last_at, row["scored_at"])

    def __iter__(self) -> Iterator[ScoreRow]:
        """Yield the scores in order."""
        names = [field.name for field in fields(ScoreRow) if field.name in _KEPT]
        with closing(sqlite3.connect(self._path)) as connection:
            # Scores of the same moment are of one batch: as in a batch, their order knows no values. A cascade's model
            # answers last.
            query = f"SELECT {', '.join(names)} FROM past ORDER BY scored_at, trace_id, tier = 'llm'"
            for values in connection.execute(query):
                yield ScoreRow(**_UNKEPT, **dict(zip(names, values, strict=True)))


def _as_it_came(row: sqlite3.Row) -> dict[str, Any]:
    """Return a score as it was when alerts bet on it: a trace that was judged again has another one now."""
    kept = dict(row)
    first = kept.pop("first")
    return {**kept, **json.loads(first)} if first else kept
