"""Cleans names that come from outside, such as services and models, and bounds their number.

Without a bound one client could flood MLflow with experiments, or Prometheus with series.
"""

import re
import threading
from collections import Counter
from collections.abc import Container, Hashable, Iterable
from typing import Generic, TypeVar

OTHER = "other"
MAX_LENGTH = 120

_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn what follows around, on pages and terminals
    r"\u200b\u2060\ufeff]+"  # nobody sees them: two names would look the same
)
_STEPS = (".", "..")
"""Browsers take them for steps in a path, escaped or not, so no page could have such a name in its address."""


def clean(name: str) -> str:
    """Return `name` on one line, without control characters, at most 120 characters long."""
    cleaned = _UNPRINTABLE.sub(" ", name).strip()[:MAX_LENGTH]
    return OTHER if cleaned in _STEPS else cleaned or OTHER


Key = TypeVar("Key", bound=Hashable)


class Bounded(Generic[Key]):
    """Keeps the distinct keys of each owner up to a limit, and refuses further ones. Thread-safe.

    Args:
        limit: keys that one owner may have: who floods takes no other owner's room.
        in_all: keys that all owners together may have.
        seen: keys of an earlier process: owner, key, and when it was last seen.
    """

    def __init__(self, limit: int, in_all: int, seen: Iterable[tuple[str, Key, float]] = ()) -> None:
        self._limit, self._in_all = limit, in_all
        self._seen = {(owner, key): at for owner, key, at in seen}
        self._of_owner = Counter(owner for owner, _ in self._seen)
        self._lock = threading.Lock()

    def admits(self, key: Key, owner: str, now: float) -> bool:
        """Whether the key is known, or there was room for it; `now` is in Unix seconds."""
        with self._lock:
            if (owner, key) not in self._seen:
                if self._of_owner[owner] >= self._limit or len(self._seen) >= self._in_all:
                    return False
                self._of_owner[owner] += 1
            self._seen[owner, key] = now
        return True

    def seen_since(self, since: float) -> list[tuple[str, Key, float]]:
        """Return owner, key and time of what was seen from `since` on."""
        with self._lock:
            return [(*key, at) for key, at in self._seen.items() if at >= since]

    def forget(self, before: float, keep: Container[Key] = ()) -> set[Key]:
        """Make room: forget keys that were not seen since `before`, but those to `keep`.

        Returns:
            The keys that no owner has any more.
        """
        with self._lock:
            old = [key for key, at in self._seen.items() if at < before and key[1] not in keep]
            for key in old:
                del self._seen[key]
                self._of_owner[key[0]] -= 1
            return {name for _, name in old} - {name for _, name in self._seen}


class BoundedNames(Bounded[str]):
    """Keeps the distinct names of each owner up to a limit, and replaces further ones by `other`. Thread-safe."""

    def __init__(self, limit: int, in_all: int, seen: Iterable[tuple[str, str, float]] = ()) -> None:
        super().__init__(limit, in_all, ((owner, name, at) for owner, name, at in seen if name != OTHER))

    def bound(self, name: str, owner: str, now: float) -> str:
        """Return the cleaned name, or `other` once a limit is reached; `now` is in Unix seconds."""
        cleaned = clean(name)
        return cleaned if cleaned != OTHER and self.admits(cleaned, owner, now) else OTHER
