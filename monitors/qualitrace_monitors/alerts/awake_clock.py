"""A clock that leaves out what passes while qualitrace stands still: its process is stopped, or its machine paused."""

import time
from collections.abc import Callable

GAP_SECONDS = 30.0
"""After so long without a look nobody was there: rules look every few seconds, and a slow look takes a few more."""


class AwakeClock:
    """Seconds during which somebody looked.

    The system's steady clock goes on while a process is stopped (SIGSTOP), and nothing can come then: that is no
    silence of anybody else.

    Args:
        least: what a longer gap counts as: the usual time between two looks.
        steady: the system's clock.
    """

    def __init__(self, least: float, steady: Callable[[], float] = time.monotonic) -> None:
        self._least, self._steady = least, steady
        self._before, self._passed = steady(), 0.0

    def look(self) -> float:
        """Return the seconds until now."""
        before, self._before = self._before, self._steady()
        gap = self._before - before
        self._passed += gap if gap <= GAP_SECONDS else self._least
        return self._passed
