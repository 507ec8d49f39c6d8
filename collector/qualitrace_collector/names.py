"""Cleans names that come from outside, such as services and models, and bounds their number.

Without a bound one client could flood MLflow with experiments, or Prometheus with series.
"""

import re
import threading
from collections.abc import Iterable

OTHER = "other"
MAX_LENGTH = 120

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def clean(name: str) -> str:
    """Return `name` on one line, without control characters, at most 120 characters long."""
    return _UNPRINTABLE.sub(" ", name).strip()[:MAX_LENGTH] or OTHER


class BoundedNames:
    """Keeps the first `limit` distinct names, and replaces the rest by `other`. Thread-safe.

    Args:
        known: names that an earlier process kept.
    """

    def __init__(self, limit: int, known: Iterable[str] = ()) -> None:
        self._limit = limit
        self._known = set(known) - {OTHER}
        self._lock = threading.Lock()

    def bound(self, name: str) -> str:
        """Return the cleaned name, or `other` once the limit is reached."""
        cleaned = clean(name)
        with self._lock:
            if cleaned not in self._known and len(self._known) >= self._limit:
                return OTHER
            self._known.add(cleaned)
        return cleaned
