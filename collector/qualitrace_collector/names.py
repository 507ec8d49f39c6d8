"""Cleans names that come from outside, such as services and models, and bounds their number.

Without a bound one client could flood MLflow with experiments, or Prometheus with series.
"""

import re
import threading
from collections import Counter
from collections.abc import Container, Iterable

OTHER = "other"
MAX_LENGTH = 120

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def clean(name: str) -> str:
    """Return `name` on one line, without control characters, at most 120 characters long."""
    return _UNPRINTABLE.sub(" ", name).strip()[:MAX_LENGTH] or OTHER


class BoundedNames:
    """Keeps the distinct names of each owner up to a limit, and replaces further ones by `other`. Thread-safe.

    Args:
        limit: names that one owner may have: who floods takes no other owner's room.
        in_all: names that all owners together may have.
        seen: names of an earlier process: owner, name, and when it was last seen.
    """

    def __init__(self, limit: int, in_all: int, seen: Iterable[tuple[str, str, float]] = ()) -> None:
        self._limit, self._in_all = limit, in_all
        self._seen = {(owner, name): at for owner, name, at in seen if name != OTHER}
        self._of_owner = Counter(owner for owner, _ in self._seen)
        self._lock = threading.Lock()

    def bound(self, name: str, owner: str, now: float) -> str:
        """Return the cleaned name, or `other` once a limit is reached; `now` is in Unix seconds."""
        cleaned = clean(name)
        with self._lock:
            if (owner, cleaned) not in self._seen:
                if cleaned == OTHER or self._of_owner[owner] >= self._limit or len(self._seen) >= self._in_all:
                    return OTHER
                self._of_owner[owner] += 1
            self._seen[owner, cleaned] = now
        return cleaned

    def seen_since(self, since: float) -> list[tuple[str, str, float]]:
        """Return owner, name and time of what was seen from `since` on."""
        with self._lock:
            return [(*key, at) for key, at in self._seen.items() if at >= since]

    def forget(self, before: float, keep: Container[str] = ()) -> set[str]:
        """Make room: forget names that were not seen since `before`, but those to `keep`.

        Returns:
            The names that no owner has any more.
        """
        with self._lock:
            old = [key for key, at in self._seen.items() if at < before and key[1] not in keep]
            for key in old:
                del self._seen[key]
                self._of_owner[key[0]] -= 1
            return {name for _, name in old} - {name for _, name in self._seen}
