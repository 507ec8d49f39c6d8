"""A named thread that repeats a step until it is stopped; after a failure it logs the error and tries again."""

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
STANDSTILL_SECONDS = 30.0
"""How long a step may take before the loop counts as standing still."""


class Loop:
    """Repeats `step` in a thread.

    Args:
        name: the thread's name, shown in logs.
        step: does a piece of work and returns the seconds to wait before the next call.
    """

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self.name = name
        self._step = step
        self._began_at: float | None = None
        self._failed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; safe twice."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def stop(self, timeout: float) -> None:
        """Let the running step end, at most `timeout` seconds; safe twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def problem(self) -> str:
        """Say why this work is not done: it was not started, ended, fails, or stands still; empty if it is done."""
        if not self.alive:
            return "it is not running"
        if self._failed:
            return "it fails: see the log"
        return f"it stands still for {running:.0f} s" if (running := self.running()) > STANDSTILL_SECONDS else ""

    def running(self) -> float:
        """Return for how many seconds the step has run that runs now; 0 between two of them."""
        began_at = self._began_at  # the thread sets it
        return 0.0 if began_at is None else time.monotonic() - began_at

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            self._began_at = time.monotonic()
            try:
                wait = self._step()
                self._failed = False
            except Exception:
                self._failed = True
                _log.exception("%s failed; trying again in %g s", self._thread.name, RETRY_SECONDS)
                wait = RETRY_SECONDS
            self._began_at = None
