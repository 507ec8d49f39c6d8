"""Which judges are let be for a while: their provider, or MLflow, failed and would only fail again."""

import threading
from collections import Counter
from collections.abc import Iterable

LONGEST_SECONDS = 60.0
"""Of a pause that grows by itself: what recovers is noticed within a minute."""

LONGEST_ASKED_SECONDS = 3600.0
"""Of a pause that a provider asks for."""


class Pauses:
    """The pauses of some judges; they double with each failure in a row. Times are Unix seconds; thread-safe.

    Failures of calls that were in flight together count as one, and an answer to one of them ends the pause: what fails
    now and then is not down.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._ends: dict[str, float] = {}

    def end(self, judge: str) -> float:
        """Return when the judge may be asked again; 0 if it never failed."""
        return self._ends.get(judge, 0.0)

    def failed(self, judges: Iterable[str], now: float, asked: float | None) -> float:
        """Begin a pause after a failure, at least as long as `asked`; return its end."""
        with self._lock:
            return max(self._extend(judge, now, asked) for judge in judges)

    def _extend(self, judge: str, now: float, asked: float | None) -> float:
        if now >= self._ends.get(judge, 0.0):
            self._failures[judge] += 1
        if asked:
            self._asked.add(judge)
        grown = min(LONGEST_SECONDS, 2.0 ** min(self._failures[judge], 10))
        end = now + min(LONGEST_ASKED_SECONDS, max(grown, asked or 0.0))
        self._ends[judge] = max(end, self._ends.get(judge, 0.0))
        return self._ends[judge]

    def worked(self, judge: str) -> None:
        """Note that the judge came to a verdict that MLflow took."""
        with self._lock:
            if self._failures.pop(judge, None) is not None and judge not in self._asked:
                self._ends.pop(judge, None)
            self._asked.discard(judge)
