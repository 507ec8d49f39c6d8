"""The scores of a state database in the order in which they came, read beside a server that runs or does not."""

import sqlite3
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from qualitrace_collector.state import read_only

MOST_AT_ONCE = 1000
"""Scores that are in memory at once: each may have a rationale of 400 characters."""
OVERLAP_SECONDS = 2.0
"""How long after a later score an earlier one may be written: judges score in several threads, and
each writes within a transaction."""
_COLUMNS = "trace_id, judge, tier, service, value, label, rationale, scored_at"
_KEYS = "scored_at, trace_id, judge, tier"

Key = tuple[float, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which scores are shown; None for all. `service` is a name or a glob."""

    service: str | None = None
    judge: str | None = None
    label: str | None = None

    def lets(self, row: sqlite3.Row) -> bool:
        """Whether a score is shown."""
        return (
            (self.service is None or fnmatchcase(row["service"], self.service))
            and self.judge in (None, row["judge"])
            and self.label in (None, row["label"])
        )


class NewScores:
    """Gives each score once, in the order in which they came.

    Args:
        file: the state database; it may be away for a while.
        wanted: the others are left out.
    """

    def __init__(self, file: Path, wanted: Filter) -> None:
        self._file, self._wanted = file, wanted
        self._newest = 0.0
        self._given = set[Key]()
        """Those within the overlap."""

    def last(self, count: int) -> list[dict[str, Any]]:
        """Return the newest scores, the newest last; what comes after them is new.

        Raises:
            StateError: the database cannot be read.
        """
        found: deque[dict[str, Any]] = deque()
        with read_only(self._file) as connection:
            for row in connection.execute(f"SELECT {_COLUMNS} FROM score ORDER BY {_KEYS.replace(',', ' DESC,')} DESC"):
                self._newest = max(self._newest, row["scored_at"])
                is_recent = row["scored_at"] >= self._newest - OVERLAP_SECONDS
                if len(found) >= count and not is_recent:
                    break
                if is_recent:
                    self._given.add(_key(row))
                if len(found) < count and self._wanted.lets(row):
                    found.appendleft(dict(row))
        return [*found]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Give the scores that came since the last look.

        Raises:
            StateError: the database cannot be read; the next look goes on from here.
        """
        after: Key = (self._newest - OVERLAP_SECONDS, "", "", "")
        while page := self._page(after):
            for row in page:
                after = _key(row)
                if after not in self._given:
                    self._given.add(after)
                    if self._wanted.lets(row):
                        yield dict(row)
            self._newest = max(self._newest, after[0])
            self._given = {key for key in self._given if key[0] >= self._newest - OVERLAP_SECONDS}

    def _page(self, after: Key) -> list[sqlite3.Row]:
        query = f"SELECT {_COLUMNS} FROM score WHERE ({_KEYS}) > (?, ?, ?, ?) ORDER BY {_KEYS} LIMIT {MOST_AT_ONCE}"
        with read_only(self._file) as connection:
            return connection.execute(query, after).fetchall()


def _key(row: sqlite3.Row) -> Key:
    return row["scored_at"], row["trace_id"], row["judge"], row["tier"]
