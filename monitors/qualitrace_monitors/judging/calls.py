"""Calls of judges: one by one for those that only compute, many at once for those that wait for a provider."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SMOOTHING = 0.1
"""Weight of the newest call in the smoothed latency."""
SLOWED = 2.0
"""Latency, in multiples of the lowest smoothed one, from which the provider counts as slowed down by our calls."""
FORGETTING = 1.001
"""Growth of the lowest latency with each call, so that a provider that has become slower for good is not held back."""


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
        """Note an answer and how long it took."""
        self._latency = seconds if self._latency is None else self._latency + SMOOTHING * (seconds - self._latency)
        self._lowest = min(self._lowest * FORGETTING, self._latency)
        step = 1 / self._limit
        slowed = self._latency > SLOWED * self._lowest
        self._limit = min(float(self._most), max(1.0, self._limit + (-step if slowed else step)))

    def congested(self, began: float, now: float) -> None:
        """Note a call, begun at `began`, that the provider refused or did not answer."""
        if began > self._last_cut:
            self._last_cut = now
            self._limit = max(1.0, self._limit / 2)


T = TypeVar("T")

START, MOST = 8, 64
"""Calls of one provider at once: in the beginning, and at most."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The result of a call, when it began and how long it took, in seconds of a steady clock."""

    result: T
    began: float
    seconds: float


class Calls(Protocol[T]):
    """Runs calls, which never raise; not thread-safe."""

    @property
    def in_flight(self) -> int:
        """Calls that were begun and not given back."""
        ...

    def room(self) -> int:
        """How many calls may be begun now."""
        ...

    def begin(self, call: Callable[[], T]) -> None:
        """Begin a call."""
        ...

    def finished(self, timeout: float) -> list[Done[T]]:
        """Give back the calls that have ended, waiting for the first at most `timeout` seconds."""
        ...

    def congested(self, began: float) -> None:
        """Note that a call was refused, or not answered, because the provider has too much to do."""
        ...

    def answered(self, seconds: float) -> None:
        """Note that a call was answered."""
        ...


class OneByOne(Generic[T]):
    """Runs each call at once, in the caller's thread; `batch` of them before they are given back."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._done: list[Done[T]] = []

    @property
    def in_flight(self) -> int:
        """See `Calls`."""
        return len(self._done)

    def room(self) -> int:
        """See `Calls`."""
        return self._batch - len(self._done)

    def begin(self, call: Callable[[], T]) -> None:
        """See `Calls`."""
        self._done.append(_timed(call))

    def finished(self, timeout: float) -> list[Done[T]]:
        """See `Calls`; they all have ended."""
        done, self._done = self._done, []
        return done

    def congested(self, began: float) -> None:
        """One call at a time congests nothing."""

    def answered(self, seconds: float) -> None:
        """One call at a time stays one."""


class Concurrent(Generic[T]):
    """Runs calls in threads, as many at once as the provider bears."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="judge")
        self._concurrency = Concurrency(START, MOST)
        self._futures: set[Future[Done[T]]] = set()

    @property
    def in_flight(self) -> int:
        """See `Calls`."""
        return len(self._futures)

    def room(self) -> int:
        """See `Calls`."""
        return max(0, self._concurrency.limit - len(self._futures))

    def begin(self, call: Callable[[], T]) -> None:
        """See `Calls`."""
        self._futures.add(self._pool.submit(_timed, call))

    def finished(self, timeout: float) -> list[Done[T]]:
        """See `Calls`."""
        done, self._futures = wait(self._futures, timeout, FIRST_COMPLETED)
        return [future.result() for future in done]

    def congested(self, began: float) -> None:
        """See `Calls`."""
        self._concurrency.congested(began, time.perf_counter())

    def answered(self, seconds: float) -> None:
        """See `Calls`."""
        self._concurrency.answered(seconds)


def _timed(call: Callable[[], T]) -> Done[T]:
    began = time.perf_counter()
    result = call()
    return Done(result, began, time.perf_counter() - began)
