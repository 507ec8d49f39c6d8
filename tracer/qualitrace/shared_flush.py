"""One flush for many callers: with a collector that hangs, each waits for its own time, and no thread for each."""

import os
import threading
from collections.abc import Callable


class SharedFlush:
    """Flushes in threads: at most one runs, and at most one waits for it.

    Args:
        flush: exports what is queued, however long that takes; returns whether it was exported.
    """

    def __init__(self, flush: Callable[[], bool]) -> None:
        self._flush = flush
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._runs = threading.Lock()
        self._next: threading.Event | None = None

    def begin(self) -> threading.Event:
        """Flush what is queued now; return what is set when that was exported."""
        if self._pid != os.getpid():  # the threads, and what they held, are the parent's
            self._renew()
        with self._lock:
            if self._next is None:  # one that has not begun yet will export what is queued now, too
                done = threading.Event()
                threading.Thread(target=self._run, name="qualitrace-flush", daemon=True).start()
                self._next = done
            return self._next

    def _run(self) -> None:
        with self._runs:
            with self._lock:
                done, self._next = self._next, None
            if self._flush() and done is not None:
                done.set()
