"""Errors that say nothing about a trace: MLflow is away, or this computer lacks memory, disk or file descriptors.

StoreUnavailable        the same call may succeed later
├── ResourceShortage    this computer is at fault, not MLflow
└── Unanswered          somebody else answered, or nobody: MLflow is away, or does not get to see this one request
"""

import errno
import sqlite3
from dataclasses import dataclass

from qualitrace_collector.masking import masked

_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT}
_SQLITE_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR}

MAX_UNANSWERED = 10
"""How often MLflow does not get to see a trace while it sees others, before the trace is given up.

With the waits between the tries that takes two to five minutes. A proxy that gives wrong answers now and then lets it
through before.
"""
MAX_UNANSWERED_KEYS = 100_000
"""Traces or assessments whose failures are counted: more than wait at once, in some 20 MB."""


class StoreUnavailable(Exception):
    """MLflow cannot be reached or written to now; the same call may succeed later.

    Attributes:
        problem: what is wrong, for logs and pages; the error's text says more.
    """

    problem = "MLflow is not available"


class ResourceShortage(StoreUnavailable):
    """This computer lacks memory, disk or file descriptors."""

    problem = "this computer is short of memory, disk or file descriptors"


class Unanswered(StoreUnavailable):
    """MLflow did not answer a request. If it answers others, a proxy on the way may not let this one through."""


@dataclass(slots=True)
class _Failures:
    """How often a request got no answer while others did; `passed` of those had one at the first failure."""

    passed: int
    count: int = 0


class UnansweredCount:
    """How often requests got no answer while others did, by what they were about.

    It forgets what failed longest ago beyond `MAX_UNANSWERED_KEYS`: what is refused or expires after a failure is never
    heard of again.
    """

    def __init__(self) -> None:
        self._passed = 0
        self._failures: dict[str, _Failures] = {}  # the one that failed last is at the end

    def passed(self, keys: set[str]) -> None:
        """Note that MLflow answered requests about these."""
        self._passed += len(keys)
        for key in keys & self._failures.keys():
            del self._failures[key]

    def failed(self, key: str) -> bool:
        """Note that a request got no answer.

        Returns:
            Whether that is to be taken as final: it happened `MAX_UNANSWERED` times since another one was answered.
        """
        failures = self._failures.pop(key, None) or _Failures(self._passed)
        failures.count += self._passed > failures.passed
        if failures.count >= MAX_UNANSWERED:
            return True
        self._failures[key] = failures
        if len(self._failures) > MAX_UNANSWERED_KEYS:
            del self._failures[next(iter(self._failures))]
        return False

    def start_over(self) -> None:
        """Forget all: nothing is answered now."""
        self._failures.clear()


def is_shortage(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is a lack of resources of this computer."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _ERRNOS):
            return True
        # SQLite's extended codes have the kind of error in their low byte.
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_CODES:
            return True
        error = error.__cause__ or error.__context__
    return False


def reason(error: Exception) -> str:
    """Return the first line of an error's text without passwords, at most 300 characters."""
    lines = masked(str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
