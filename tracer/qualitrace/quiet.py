"""The rule that the tracer never breaks the app and never holds it up: few log lines, bounded waits, no exceptions."""

import functools
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from typing import ParamSpec, TypeVar

from opentelemetry import context

P = ParamSpec("P")
R = TypeVar("R")

# For what is queued at exit; with the interpreter's own end it stays under 3 s on a busy machine, too.
SHUTDOWN_SECONDS = 2.0

logger = logging.getLogger("qualitrace")


def never_raises(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make `function` return None instead of raising; log its first failure as a warning, later ones as debug lines."""
    level = logging.WARNING

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
        nonlocal level
        try:
            return function(*args, **kwargs)
        except Exception:
            logger.log(level, "%s failed; the app goes on", function.__qualname__, exc_info=True)
            level = logging.DEBUG
            return None

    return guarded


def detach(token: "Token[context.Context]") -> None:
    """Do what OpenTelemetry's `detach` does, but in silence where the block ends in another context than it began.

    That is not a fault: a generator that is left unread, such as the body of a broken request, is closed anywhere.
    """
    with suppress(ValueError):
        context._RUNTIME_CONTEXT.detach(token)  # pyright: ignore[reportPrivateUsage]  # `detach` logs an error


class SparseFilter(logging.Filter):
    """Lets one record through in `interval` seconds, so that a dead collector does not fill the app's log.

    Args:
        interval: seconds between two records.
        clock: monotonic seconds.
    """

    def __init__(self, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval = interval
        self._clock = clock
        self._next = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` is let through."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._interval
        return True
