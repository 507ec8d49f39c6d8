"""Decides when an alert on a mean, such as `pass_rate < 0.9`, fires and when it resolves.

Two detectors share the promise α, the chance of a false alarm within the period. One asks whether the mean is below the
threshold, with 25 % of α. It is slow where the service was far better than that. So the other one asks whether the mean
has fallen below what it was, and fires only if it is now below the threshold, too. It gets 45 %. The last 30 % is for
the chance that the lower bound of what the mean was, from the first thousand values, is too high.

    value ─▶ threshold arm ─────┬─▶ fires ─▶ mirrored arm ─▶ resolves
         └─▶ reference ─▶ baseline arm ─┘    (is the mean above the threshold?)

`drop > 0.05 from baseline` has the baseline arm alone, with 70 %: it asks whether the mean is more than 0.05 below the
lower bound of what it was. Until the reference is there it cannot fire.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qualitrace_monitors.alerts.detector import EDGE, SPREAD, Array, Detector, Mask, Reading
from qualitrace_monitors.estimate.interval import Moments

REFERENCE = 1000.0
"""Effective number of values from which the mean before a change is taken."""

_READ = [field.name for field in fields(Reading)]
_SUMS = ("weight", "squared_weight", "first", "squared_first", "squared_second")

_BELOW, _FALLEN, _BOUND = 0.25, 0.45, 0.3  # shares of the promise; of a drop, the second has those of both

RESOLVED = 1000.0
"""Evidence of a recovery, which comes by chance at most once in that many values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the mean was: one value a stream, NaN while too few values came.

    Attributes:
        mean: of the first values.
        bound: what the true mean lies above, but for 30 % of the promise.
    """

    mean: Array
    bound: Array


class Watch:
    """Streams of values under one rule.

    Args:
        threshold: the alert fires when the mean is below it.
        alpha: chance of a false alarm within the period, like 0.05.
        streams: how many there are.
        reference: effective number of values that make the reference; 0 leaves the second detector out.
        drop: the alert fires when the mean is this much below what it was, whatever `threshold` is; 0 for a threshold.
        least, most: between which values are. Where a recovery is looked for, they are between 1 - most and 1 - least.

    Attributes:
        alpha: as given.
        firing: of each stream.
        changes: what was known of the change at the last firing.
    """

    def __init__(
        self,
        threshold: float,
        alpha: float,
        streams: int = 1,
        reference: float = REFERENCE,
        drop: float = 0.0,
        *,
        least: float = 0.0,
        most: float = 1.0,
    ) -> None:
        self._threshold, self.alpha, self._drop = threshold, alpha, drop
        self._least, self._most = least, most
        self._wanted = reference * (1 + SPREAD * (most - 1))  # values that vary more are worth less
        thresholds = np.full(streams, threshold)
        self._below = Detector(thresholds, most)
        self._fallen = Detector(thresholds, most)
        self._above = Detector(1 - thresholds, most)
        self._bound, self._mean = np.full(streams, np.nan), np.full(streams, np.nan)
        self._sums = np.zeros((len(_SUMS), streams))
        self.firing: Mask = np.zeros(streams, dtype=np.bool_)
        self.changes = self._below.read()

    def take(
        self,
        values: ArrayLike,
        weights: ArrayLike,
        fresh: ArrayLike,
        now: ArrayLike,
        resolving: ArrayLike | None = None,
    ) -> None:
        """Take the next value of every stream; see `Detector.bet` for the arguments.

        Args:
            resolving: what the value is where a recovery is looked for, if that is another.
        """
        quiet = ~self.firing
        if quiet.any():
            # A bound that no mean can be that far below makes no bet: a null of 0 would be met by chance.
            guarded = quiet & (self._bound - self._drop >= (EDGE if self._drop else self._threshold))
            if not self._drop:
                self._below.bet(values, weights, fresh, now, quiet)
            self._fallen.bet(values, weights, fresh, now, guarded)
            self._fire(quiet, guarded)
        if not quiet.all():
            # By the count, not by the time: an alert that fires resolves by chance once in `RESOLVED` values.
            shown = np.asarray(values if resolving is None else resolving)
            self._above.bet(1.0 - shown, weights, 1.0, now, ~quiet)
            self._resolve(~quiet)
        learning = quiet & ~self.firing & np.isnan(self._bound)
        if self._wanted and learning.any():
            self._remember(values, weights, learning)

    def _fire(self, quiet: Mask, guarded: Mask) -> None:
        below = quiet & self._below.reaches(-self._below_share)
        fallen = guarded & self._fallen.reaches(-self._fallen_share)
        if fallen.any():
            fallen &= self._is_below()
        fired = below | fallen
        if not fired.any():
            return
        self.changes = _chosen(fallen, self._fallen.read(), _chosen(below, self._below.read(), self.changes))
        self.firing = self.firing | fired
        for detector in (self._below, self._fallen, self._above):
            detector.reset(fired)
        self._sums[:, fired] = 0.0  # a reference that was being taken is that of a fall

    @property
    def _below_share(self) -> float:
        """The logarithm of the share of the promise that the first detector has."""
        return math.log((_BELOW if self._wanted else 1.0) * self.alpha)

    @property
    def _fallen_share(self) -> float:
        return math.log((_BELOW + _FALLEN if self._drop else _FALLEN) * self.alpha)

    def _is_below(self) -> Mask:
        """Whether a mean that has fallen is below the threshold, too; of a drop, that it has fallen is enough."""
        return np.full_like(self.firing, True) if self._drop else self._fallen.read().mean < self._threshold

    @property
    def evidence(self) -> Array:
        """The evidence of each stream: at 1 / alpha the alert fires. While it fires, that is what is shown."""
        below = self._below.log_evidence() + self._below_share
        fallen = np.where(self._is_below(), self._fallen.log_evidence() + self._fallen_share, -np.inf)
        share = np.where(self.firing, 0.0, np.maximum(below, fallen))
        return np.exp(np.minimum(share, 0.0)) / self.alpha

    def _resolve(self, firing: Mask) -> None:
        resolved = firing & self._above.reaches(math.log(RESOLVED))
        self.firing = self.firing & ~resolved
        self._above.reset(resolved)

    def _remember(self, values: ArrayLike, weights: ArrayLike, where: Mask) -> None:
        """Add values to the reference of some streams; freeze those that have enough."""
        width = self._most - self._least
        share = (np.asarray(values) - self._least) / width  # within 0 and 1
        x, r = (np.where(where, given, 0.0) for given in (share, weights))
        self._sums += (r, r * r, r * x, r * r * x, r * r * x * x)
        weight, squared_weight = self._sums[:2]
        full = where & (weight * weight >= self._wanted * squared_weight)
        for stream in np.flatnonzero(full):
            sums = dict(zip(_SUMS, self._sums[:, stream].tolist(), strict=True))
            moments = Moments(**sums, heaviest=1.0)
            self._mean[stream] = self._least + width * moments.mean
            self._bound[stream] = self._least + width * moments.interval(1 - 2 * _BOUND * self.alpha)[0]
        if full.any():
            self._fallen.move(self._bound - self._drop, full)
        if full.any() and self._drop:
            self._above.move(1 - (self._bound - self._drop), full)

    def keep(self, where: Mask) -> None:
        """Follow the streams of `where` alone from now on."""
        for detector in (self._below, self._fallen, self._above):
            detector.keep(where)
        self._bound, self._mean, self.firing = self._bound[where], self._mean[where], self.firing[where]
        self._sums = self._sums[:, where]
        self.changes = Reading(**{name: getattr(self.changes, name)[where] for name in _READ})

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "detectors": [detector.dump() for detector in (self._below, self._fallen, self._above)],
            "bound": _known(self._bound),
            "mean": _known(self._mean),
            "sums": self._sums.tolist(),
            "firing": self.firing.tolist(),
            "changes": {name: _known(getattr(self.changes, name)) for name in _READ},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `dump` returned, for a watch with the same arguments."""
        self._below, self._fallen, self._above = (Detector.load(one, self._most) for one in state["detectors"])
        self._bound, self._mean = _array(state["bound"]), _array(state["mean"])
        self._sums = np.asarray(state["sums"], dtype=np.float64)
        self.firing = np.asarray(state["firing"], dtype=np.bool_)
        self.changes = Reading(**{name: _array(values) for name, values in state["changes"].items()})

    @property
    def reference(self) -> Reference:
        """What the mean was."""
        return Reference(mean=self._mean, bound=self._bound)


def _known(values: Array) -> list[float | None]:
    """Return values as JSON, which has no NaN."""
    return [None if np.isnan(value) else value for value in values.tolist()]


def _array(values: list[float | None]) -> Array:
    return np.asarray(values, dtype=np.float64)  # None becomes NaN


def _chosen(mask: Mask, one: Reading, other: Reading) -> Reading:
    return Reading(
        mean=np.where(mask, one.mean, other.mean),
        count=np.where(mask, one.count, other.count),
        since=np.where(mask, one.since, other.since),
    )
