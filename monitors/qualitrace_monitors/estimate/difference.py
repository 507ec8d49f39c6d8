"""How much two parts of a service's traffic differ."""

import math
from dataclasses import dataclass

from qualitrace_monitors.estimate.estimator import Estimate, Quantity
from qualitrace_monitors.estimate.interval import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference of two shares or means, from -1 to 1, with its interval."""

    value: float
    interval: Interval

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves out that there is none."""
        return self.interval[0] > 0 or self.interval[1] < 0


def difference(one: Estimate, other: Estimate, quantity: Quantity) -> Difference | None:
    """Return how much more the quantity of one is than that of another; None where one of them has no value.

    The interval is made of both intervals (Zou and Donner's MOVER, Statistics in Medicine 27, 2008), which count a
    session once. It takes the two for independent: where a session has answers in both, which are alike, it is too
    wide rather than too narrow.
    """
    (value, (low, high)), (than, (low_other, high_other)) = one.quantity(quantity), other.quantity(quantity)
    if value is None or than is None:
        return None
    found = value - than
    # Unsure verdicts are in the intervals and not in the rates, which may lie beyond an end.
    below = math.hypot(max(0.0, value - low), max(0.0, high_other - than))
    above = math.hypot(max(0.0, high - value), max(0.0, than - low_other))
    return Difference(value=found, interval=(max(-1.0, found - below), min(1.0, found + above)))
