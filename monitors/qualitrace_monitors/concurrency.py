"""How many calls of a provider run at once: more while it answers as fast as ever, half as many when it is congested.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP does it: the limit grows by one in as many
calls as it allows at once. 429, timeouts and failures halve it, once for all calls that were in flight then; latency
that doubles lets it shrink as slowly as it grew.
"""

SMOOTHING = 0.1
"""Weight of the newest call in the smoothed latency."""
SLOWED = 2.0
"""Latency, in multiples of the lowest smoothed one, from which the provider counts as slowed down by our calls."""
FORGETTING = 1.001
"""Growth of the lowest latency with each call, so that a provider that has become slower for good is not held back."""


class Concurrency:
    """The limit of one provider; times are seconds of a steady clock.

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
