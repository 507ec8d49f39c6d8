"""What became of the spans of this process, counted, so that nothing is lost in silence."""

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

# Reasons are partly a collector's words; others than the first ones are counted together.
_MOST_REASONS = 20


@dataclass(frozen=True)
class Delivery:
    """What became of the spans that ended in this process.

    Attributes:
        endpoint: where they are sent; None without tracing.
        sent: spans that the collector took.
        refused: spans that the collector answered with an error.
        dropped: spans that were given up otherwise: the queue was full, or no answer came in time.
        waiting: spans that are queued or on the way.
        reasons: why spans were refused or dropped, and how many.
    """

    endpoint: str | None = None
    sent: int = 0
    refused: int = 0
    dropped: int = 0
    waiting: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])

    def __str__(self) -> str:
        """Return one line for people."""
        lost = self.refused + self.dropped
        why = "; ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"{lost} of {lost + self.sent + self.waiting} spans did not reach {self.endpoint}" + (why and f": {why}")


class Tally:
    """Counts of one process; a forked child starts at zero.

    Args:
        queued: returns how many spans are in the queue.
        queue_size: how many it holds; it drops the oldest beyond.
    """

    def __init__(self, endpoint: str, queued: Callable[[], int], queue_size: int) -> None:
        self._endpoint = endpoint
        self._queued = queued
        self._queue_size = queue_size
        self._reset()
        if hasattr(os, "register_at_fork"):  # not on Windows
            reset = weakref.WeakMethod(self._reset)  # what is registered stays for ever
            os.register_at_fork(after_in_child=lambda: (found := reset()) and found())

    def _reset(self) -> None:
        self._lock = threading.RLock()  # reentrant: a signal handler may interrupt the thread that holds it
        self._ended = self._started = self._sent = self._refused = self._dropped = 0
        self._was_full = False
        self._reasons: Counter[str] = Counter()

    def ended(self) -> None:
        """Count a span that is about to be queued."""
        with self._lock:
            self._ended += 1
            if not self._was_full and self._queued() >= self._queue_size:
                self._was_full = True

    def start(self, count: int) -> None:
        """Count spans that have left the queue and are on the way."""
        with self._lock:
            self._started += count

    def sent(self, count: int) -> None:
        """Count spans that have arrived."""
        with self._lock:
            self._sent += count

    def refused(self, count: int, reason: str) -> None:
        """Count spans which the collector does not take."""
        with self._lock:
            self._refused += count
            self._because(reason, count)

    def dropped(self, count: int, reason: str) -> None:
        """Count spans that are given up."""
        with self._lock:
            self._dropped += count
            self._because(reason, count)

    def _because(self, reason: str, count: int) -> None:
        known = reason in self._reasons or len(self._reasons) < _MOST_REASONS
        self._reasons[reason if known else "for other reasons"] += count

    def status(self) -> Delivery:
        """Return the counts as they are now."""
        with self._lock:
            queued = self._queued()
            # The queue does not say what it drops. One that never was full has dropped nothing: the rest is between
            # the queue and the exporter.
            overflow = max(0, self._ended - self._started - queued) if self._was_full else 0
            reasons = dict(self._reasons) | ({"found the queue full (queue_size)": overflow} if overflow else {})
            dropped = self._dropped + overflow
            waiting = self._ended - self._sent - self._refused - dropped
            return Delivery(self._endpoint, self._sent, self._refused, dropped, waiting, reasons)

    def close(self, seconds: float) -> Delivery:
        """Return the final counts: what waits is given up after `seconds`."""
        final = self.status()
        if not final.waiting:
            return final
        reasons = {**final.reasons, f"not sent within {seconds:g} s at the end": final.waiting}
        return replace(final, dropped=final.dropped + final.waiting, waiting=0, reasons=reasons)
