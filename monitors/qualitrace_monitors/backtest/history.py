"""What a state database has kept of the past, in the order in which it came: scores, and sums of requests.

It is copied first: a server beside it could not shorten its write-ahead log while one query goes on for minutes.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from qualitrace_collector.state import read_only
from qualitrace_collector.state.requests import FINE_SECONDS, HOUR, MINUTE
from qualitrace_monitors.estimate.scores import FIRST, ScoreRow

PAGE = 5_000
"""Scores in memory at once."""

PIECE = 5
"""Minutes of the pieces that the sums of an hour are divided into, so that a window of an hour moves evenly."""

# The rest of a score is of no concern to the rules.
_KEPT = ("trace_id", "judge", "tier", "weight", "inclusion_probability", "least_probability", "completed_at", *FIRST)
_UNKEPT: dict[str, Any] = {"rationale": "", "assessment_id": "", "tokens": 0, "cost_usd": None}


class PastScore(NamedTuple):
    """A score that came.

    Attributes:
        at: Unix seconds.
        is_first: the trace's first by its judge and tier, and not from before the replay. Another one changes sums.
    """

    at: float
    row: ScoreRow
    is_first: bool


class PastRequests(NamedTuple):
    """Sums of requests whose last minute was over.

    Attributes:
        at: when it was over, Unix seconds.
        minute: to which they count, in minutes since 1970.
    """

    at: float
    minute: int
    service: str
    requests: float
    errors: float
    tokens: float
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be replayed.

    Attributes:
        judges: whose scores.
        summed: those of them whose scores count in sums: also from before `since`, and when a trace is judged again.
        since: Unix seconds.
        before: for how many seconds before `since` sums look back.
        requests: whether sums of requests are read, too: all that there are.
    """

    judges: Collection[str]
    summed: Collection[str] = ()
    since: float = 0.0
    before: float = 0.0
    requests: bool = False


class History:
    """What was kept, in a file of its own.

    Attributes:
        scores: how many first scores there are since the replay begins.
        services: of which services they are, by judge; under an empty name, those with requests.
        unweighted: on how many of them nothing bets, as nobody knows their weight: they are from before an upgrade.
        last_at: when the last one came, Unix seconds; 0 without scores.
        minutes_since: since when requests are known by the minute, Unix seconds; before, by the hour.
    """

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self._path, self._wanted = path, wanted
        self.scores, self.unweighted, self.last_at, self.minutes_since = 0, 0, 0.0, 0.0
        self.services: dict[str, set[str]] = {}

    @classmethod
    def copy(
        cls, state: Path, into: Path, wanted: Wanted, now: float, progress: Callable[[int], None] = lambda _: None
    ) -> Self:
        """Copy what is wanted.

        Args:
            state: the state database, which is only read.
            into: a new file.
            now: Unix seconds.
            progress: gets how many scores have been copied.

        Raises:
            StateError: the state database cannot be read, or is of another version.
        """
        made = cls(into, wanted)
        made.minutes_since = (now - FINE_SECONDS) // HOUR * HOUR
        with closing(sqlite3.connect(into, isolation_level=None)) as copy, read_only(state) as source:
            # Whatever happens to it, the file is made again next time.
            copy.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
            made._copy_scores(source, copy, progress)
            if wanted.requests:
                made._copy_requests(source, copy)
        return made

    def _copy_scores(
        self, source: sqlite3.Connection, copy: sqlite3.Connection, progress: Callable[[int], None]
    ) -> None:
        copy.execute(f"CREATE TABLE score ({', '.join(_KEPT)}, is_first)")
        rows = source.execute(
            f"SELECT {', '.join(_KEPT)}, first FROM score "
            "WHERE scored_at >= ? AND judge IN (SELECT value FROM json_each(?))",
            (self._wanted.since - self._wanted.before, json.dumps([*self._wanted.judges])),
        )
        marks = ", ".join(f":{name}" for name in (*_KEPT, "is_first"))
        while page := rows.fetchmany(PAGE):
            copy.execute("BEGIN")
            copy.executemany(f"INSERT INTO score VALUES ({marks})", self._taken(page))
            copy.execute("COMMIT")
            progress(self.scores)

    def _taken(self, rows: Iterable[sqlite3.Row]) -> Iterator[dict[str, Any]]:
        """Yield what came of a trace's score: what it was at first, and what it is now."""
        for row in rows:
            now = dict(row)
            first = now.pop("first")
            came = {**now, **json.loads(first)} if first else now
            is_summed, is_first = row["judge"] in self._wanted.summed, came["scored_at"] >= self._wanted.since
            if is_first:
                self._count(came)
            if is_first or is_summed:
                yield {**came, "weight": came["weight"] or 0.0, "is_first": is_first}
            if first and is_summed:
                yield {**now, "weight": 0.0, "is_first": False}

    def _count(self, row: dict[str, Any]) -> None:
        self.scores += 1
        self.unweighted += row["weight"] is None
        self.services.setdefault(row["judge"], set()).add(row["service"])
        self.last_at = max(self.last_at, row["scored_at"])

    def _copy_requests(self, source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
        copy.execute(f"CREATE TABLE request ({', '.join(PastRequests._fields)})")
        copy.execute("BEGIN")
        marks = ", ".join("?" * len(PastRequests._fields))
        for row in source.execute("SELECT minute, service, requests, errors, tokens, usd FROM request_minute"):
            copy.executemany(f"INSERT INTO request VALUES ({marks})", self._pieces(*row))
            if (row["minute"] + 1) * MINUTE >= self._wanted.since:
                self.services.setdefault("", set()).add(row["service"])
        copy.execute("COMMIT")

    def _pieces(self, minute: int, service: str, *sums: float) -> Iterator[PastRequests]:
        """Divide the sums of an hour; those of a minute are left as they are."""
        is_hour = minute % 60 == 0 and minute * MINUTE < self.minutes_since
        length, pieces = (PIECE, 60 // PIECE) if is_hour else (1, 1)
        for first in range(minute, minute + length * pieces, length):
            yield PastRequests((first + length) * MINUTE, first, service, *(value / pieces for value in sums))

    def __iter__(self) -> Iterator[PastScore]:
        """Yield the scores in order."""
        names = [field.name for field in fields(ScoreRow) if field.name in _KEPT]
        with closing(sqlite3.connect(self._path)) as connection:
            # Scores of the same moment are of one batch: as in a batch, their order knows no values. A cascade's model
            # answers last.
            query = f"SELECT is_first, {', '.join(names)} FROM score ORDER BY scored_at, trace_id, tier = 'llm'"
            for is_first, *values in connection.execute(query):
                row = ScoreRow(**_UNKEPT, **dict(zip(names, values, strict=True)))
                yield PastScore(row.scored_at, row, bool(is_first))

    def requests(self) -> Iterator[PastRequests]:
        """Yield the sums of requests in order."""
        if not self._wanted.requests:
            return
        with closing(sqlite3.connect(self._path)) as connection:
            yield from map(PastRequests._make, connection.execute("SELECT * FROM request ORDER BY at, service"))
