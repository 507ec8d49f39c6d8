"""Which judges are let be for a while: their provider, or MLflow, failed and would only fail again."""

from collections import Counter
from collections.abc import Iterable

LONGEST_SECONDS = 60.0
"""Of a pause that grows by itself: what recovers is noticed within a minute."""

LONGEST_ASKED_SECONDS = 3600.0
"""Of a pause that a provider asks for."""


class Pauses:
    """The pauses of some judges; they double with each failure in a row. Times are Unix seconds."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self._ends: dict[str, float] = {}

    def end(self, judge: str) -> float:
        """Return when the judge may be asked again; 0 if it never failed."""
        return self._ends.get(judge, 0.0)

    def failed(self, judges: Iterable[str], now: float, asked: float | None) -> float:
        """Begin a pause after a failure, at least as long as `asked`; return its end."""
        end = now
        for judge in judges:
            self._failures[judge] += 1
            grown = min(LONGEST_SECONDS, 2.0 ** min(self._failures[judge], 10))
            self._ends[judge] = now + min(LONGEST_ASKED_SECONDS, max(grown, asked or 0.0))
            end = max(end, self._ends[judge])
        return end

    def worked(self, judge: str) -> None:
        """Note that the judge came to a verdict that MLflow took."""
        self._failures.pop(judge, None)
