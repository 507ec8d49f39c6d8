"""Pairs of values from a canary and its control, for `drop > 0.05 from control`.

Each value y of the canary meets the control's next value x, or waits for it, and z = (y - x + 1) / 2 is bet on. While
the canary's mean is at most d below the control's, the mean of z is at least (1 - d) / 2. The weights of both multiply,
since the two are independent. So the detector's promise holds for the difference, although neither mean is known.

Which values meet depends on their order alone. Of a side that has more traffic the oldest ones are dropped: the values
of a pair are of about the same time, so that a hard hour for both sides is not a difference between them.

A value that is not fully known (`Bet.low`) is a range: a fall is looked for with the most that the canary may have and
the least of the control, a recovery with the other ends.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from qualitrace_collector.pipeline.match import Match
from qualitrace_monitors.alerts.new_scores import Bet

MOST_WAITING = 20
"""Values that wait for one of the other side: a batch of scores often has those of one side first."""


class Pairs:
    """The values that wait for their partner: of one side at most."""

    def __init__(self, canary: Match, control: Match) -> None:
        self._matches = {"canary": canary, "control": control}
        self._side, self._waiting = "", deque[tuple[float, float, float]](maxlen=MOST_WAITING)

    def _side_of(self, slices: Mapping[str, str]) -> str | None:
        sides = [side for side, match in self._matches.items() if match.holds(slices.get)]
        return sides[0] if len(sides) == 1 else None  # traffic of both sides says nothing about a difference

    def wants(self, bet: Bet) -> bool:
        """Whether it is of one of the two sides."""
        return self._side_of(bet.slices) is not None

    def take(self, bet: Bet, high: float, low: float) -> tuple[float, float, float] | None:
        """Return the pair that a value makes: where a fall is looked for, where a recovery is, and its weight.

        Returns:
            None if the value waits for its partner.
        """
        side = self._side_of(bet.slices)
        if side != self._side and self._waiting:
            other_high, other_low, weight = self._waiting.popleft()
            sides = (high, low), (other_high, other_low)
            canary, control = sides if side == "canary" else sides[::-1]
            return (canary[0] - control[1] + 1) / 2, (canary[1] - control[0] + 1) / 2, weight * bet.weight
        self._side = side or ""
        self._waiting.append((high, low, bet.weight))
        return None

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"side": self._side, "waiting": [*self._waiting]}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `dump` returned."""
        self._side = state["side"]
        self._waiting.extend((high, low, weight) for high, low, weight in state["waiting"])


def difference_null(drop: float) -> float:
    """Return the mean of the pairs' values where the canary is just `drop` below the control."""
    return (1 - drop) / 2


def difference_of(mean: float) -> float:
    """Return how far the canary is above the control, by the mean of the pairs' values."""
    return 2 * mean - 1
