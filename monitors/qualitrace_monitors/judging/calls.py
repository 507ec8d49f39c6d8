"""How judges are called: how many calls run at once, and for how long a judge that failed is not asked."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeAlias, TypeVar

from tenacity.wait import wait_exponential

from qualitrace_collector.process.backoff import seconds_after

SMOOTHING = 0.1
"""Weight of the newest call in the smoothed latency."""
SLOWED = 2.0
"""Latency, in multiples of the lowest smoothed one, from which the provider counts as slowed down by our calls."""
FORGETTING = 1.001
"""Growth of the lowest latency with each call, so that a provider that has become slower for good is not held back."""

START, MOST = 8, 64
"""Calls of one provider at once: in the beginning, and at most."""

PAUSE = wait_exponential(multiplier=2, max=60)
"""The cap is a minute, within which a provider that recovers is noticed."""
LONGEST_PAUSE = 600.0
PROBE = wait_exponential(multiplier=60, max=LONGEST_PAUSE)
"""After how long a provider that asks for a longer pause is tried with one call: 1 min, doubled up to 10 min. Providers
ask for an hour, or for the rest of a day, and are often back sooner."""
ALWAYS = 3
"""Failures in a row after which a judge counts as failing always."""

T = TypeVar("T")


class Concurrency:
    """How many calls of a provider run at once; times are seconds of a steady clock.

    Additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP does it: the limit grows by one in as many
    calls as it allows at once. 429, timeouts and failures halve it, once for all calls that were in flight then;
    latency that doubles lets it shrink as slowly as it grew.

    Args:
        start: calls at once in the beginning.
        most: calls at once at most.
    """

    def __init__(self, start: int, most: int) -> None:
        self._limit = float(start)
        self._most = most
        self._latency: float | None = None
        self._lowest = float("inf")
        self._last_cut = float("-inf")

    @property
    def limit(self) -> int:
        """Calls that may run at once now."""
        return int(self._limit)

    def answered(self, seconds: float) -> None:
        """Record an answer that took so long."""
        self._latency = seconds if self._latency is None else self._latency + SMOOTHING * (seconds - self._latency)
        self._lowest = min(self._lowest * FORGETTING, self._latency)
        step = 1 / self._limit
        slowed = self._latency > SLOWED * self._lowest
        self._limit = min(float(self._most), max(1.0, self._limit + (-step if slowed else step)))

    def congested(self, began: float, now: float) -> None:
        """Record a call, begun at `began`, that the provider refused or did not answer."""
        if began > self._last_cut:
            self._last_cut = now
            self._limit = max(1.0, self._limit / 2)


class CallsInTurn(Generic[T]):
    """Runs each call at once in the caller's thread, for judges that only compute; not thread-safe.

    Args:
        batch: how many results are returned together.
    """

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._results: list[T] = []

    @property
    def in_flight(self) -> int:
        """Calls whose result was not returned yet."""
        return len(self._results)

    def room(self) -> int:
        """Return how many calls may be begun now."""
        return self._batch - len(self._results)

    def begin(self, call: Callable[[], T]) -> None:
        """Run a call, which must not raise."""
        self._results.append(call())

    def finished(self, timeout: float) -> list[T]:
        """Return the results, without waiting."""
        results, self._results = self._results, []
        return results

    def congested(self, began: float) -> None:
        """Do nothing: one call at a time is as few as there can be."""

    def answered(self, seconds: float) -> None:
        """Do nothing: one call at a time stays one."""


class ConcurrentCalls(Generic[T]):
    """Runs calls in threads, as many at once as their provider bears; not thread-safe itself."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="judge")
        self._concurrency = Concurrency(START, MOST)
        self._futures: set[Future[T]] = set()

    @property
    def in_flight(self) -> int:
        """Calls whose result was not returned yet."""
        return len(self._futures)

    def room(self) -> int:
        """Return how many calls may be begun now."""
        return max(0, self._concurrency.limit - len(self._futures))

    def begin(self, call: Callable[[], T]) -> None:
        """Begin a call, which must not raise."""
        self._futures.add(self._pool.submit(call))

    def finished(self, timeout: float) -> list[T]:
        """Return the results of the calls that ended; wait for the first at most `timeout` seconds."""
        done, self._futures = wait(self._futures, timeout, FIRST_COMPLETED)
        return [future.result() for future in done]

    def congested(self, began: float) -> None:
        """Record that a call, begun at `began`, was refused or not answered; fewer run at once from now on."""
        self._concurrency.congested(began, time.perf_counter())

    def answered(self, seconds: float) -> None:
        """Record that a call was answered, and how long it took."""
        self._concurrency.answered(seconds)


Calls: TypeAlias = CallsInTurn[T] | ConcurrentCalls[T]


class Failures:
    """Which judges fail always, by their queues; thread-safe."""

    def __init__(self) -> None:
        self._in_a_row: Counter[str] = Counter()
        self._answered: set[str] = set()

    def failed(self, queue: str) -> None:
        """Record a call without a verdict."""
        self._in_a_row[queue] += 1

    def answered(self, queue: str) -> None:
        """Record a verdict."""
        self._answered.add(queue)
        self._in_a_row.pop(queue, None)

    def problem(self, queue: str) -> str:
        """Say that the judge fails always: `ALWAYS` times in a row, or each time since the start."""
        failures = self._in_a_row.get(queue, 0)
        if failures >= (ALWAYS if queue in self._answered else 1):
            return f"it gave no verdict {failures} times in a row: see the log"
        return ""


class Pauses:
    """How long judges that failed are not asked, by their queues; times are Unix seconds; thread-safe.

    Each failure in a row doubles the pause. Failures of calls that were in flight together count as one, and an answer
    to one of them ends the pause: a provider that fails now and then is not down. After a pause that the provider
    caused, one call probes it (half-open, as circuit breakers have it); the others wait for its answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requested: set[str] = set()
        self._failing_since: dict[str, float] = {}
        self._half_open: set[str] = set()
        self._probes: dict[str, str] = {}
        self._failures: Counter[str] = Counter()
        self._ends: dict[str, float] = {}

    def end(self, queue: str) -> float:
        """Return when the judge may be asked again; 0 if it never failed."""
        return self._ends.get(queue, 0.0)

    def failing(self, queue: str, now: float) -> float:
        """Return for how many seconds the judge's provider has refused or not answered; 0 if it answers."""
        if (since := self._failing_since.get(queue, now)) > now:
            self._failing_since[queue] = since = now  # the clock was set back
        return now - since

    def room(self, queue: str, now: float) -> int | None:
        """Return how many calls of the judge may be begun now: none in a pause, one after it, then any (None)."""
        with self._lock:
            if self.end(queue) - now > LONGEST_PAUSE:
                del self._ends[queue]  # the clock was set back: the pause would last as long as that
            if self.end(queue) > now or queue in self._probes:
                return 0
            return 1 if queue in self._half_open else None

    def began(self, queue: str, trace_id: str) -> None:
        """Record that a call was begun; after a pause it is the one that probes the provider."""
        with self._lock:
            if queue in self._half_open:
                self._probes[queue] = trace_id

    def ended(self, queue: str, trace_id: str) -> None:
        """Record that a call has ended, whatever came of it."""
        with self._lock:
            if self._probes.get(queue) == trace_id:
                del self._probes[queue]

    def failed(
        self, queues: Iterable[str], now: float, requested: float | None = None, *, by_provider: bool = False
    ) -> float:
        """Begin or extend the judges' pauses after a failure.

        Args:
            requested: seconds that the provider asked for, with Retry-After.
            by_provider: it was the judge's provider that failed.

        Returns:
            The end of the pauses.
        """
        with self._lock:
            if by_provider:
                self._half_open.update(queues)
                for queue in queues:
                    self._failing_since.setdefault(queue, now)
            return max(self._extend(queue, now, requested or 0.0) for queue in queues)

    def _extend(self, queue: str, now: float, requested: float) -> float:
        if now >= self.end(queue):
            self._failures[queue] += 1
        if requested:
            self._requested.add(queue)
        failures = self._failures[queue]
        pause = max(seconds_after(failures, PAUSE), min(requested, seconds_after(failures, PROBE)))
        self._ends[queue] = max(now + pause, self.end(queue))
        return self._ends[queue]

    def succeeded(self, queue: str, now: float) -> None:
        """Record an answer, to a call begun before or after the failure: a pause that nobody asked for ends."""
        with self._lock:
            if queue in self._requested and now < self.end(queue):
                return
            if self._failures.pop(queue, None) is not None:
                self._ends.pop(queue, None)
            self._half_open.discard(queue)
            self._requested.discard(queue)
            self._failing_since.pop(queue, None)
