"""Finds when the mean of a stream has fallen, and promises how rarely that is a false alarm, however often one looks.

It is the mixture e-detector of Shiryaev–Roberts type by Shin, Ramdas and Rinaldo ("E-detectors: a nonparametric
framework for sequential change detection", arXiv:2203.03532), with the start mass spread over time. For each of eight
bets k with stake λ_k and share s_k, a value x in [0, 1] of relative weight r, and h = seconds since the last value /
period:

    M_k ← (M_k + s_k · h) · e,    e = 1 + λ_k · r · (null − x)

While the conditional mean of each x stays at or above `null`, the sum of the M_k less the sum of the h is a
supermartingale that begins at 0, as the shares add up to 1. So the sum reaches 1/α within a period with probability α
at most (Ville), at every look, whatever the traffic.

Values may also be larger than 1, and less than 0, as those of `joined_scores` are: a stake is less, the larger a value
can be, so that no bet loses more than it has.

Many streams can be followed at once: every array has one row a stream. A rule follows one.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GAPS = (0.02, 0.04, 0.07, 0.11, 0.16, 0.23, 0.33, 0.5)
"""How far the mean may have fallen: each has a bet of its own."""

SHARES = np.array((1, 1, 2, 2, 2, 1, 1, 1)) / 11
"""What each bet begins with: the more, the sooner it shows. Falls of about a tenth are the ones that matter most."""

MOST_STAKED = 0.98
"""The share of its capital that a bet may stake: one that loses all could never win again."""

EDGE = 1e-3
"""Least distance of the null from 0 and from 1, where no stake would be bounded."""

SPREAD = 0.5
"""How much more values vary that may be larger than 1: by about this share for each 1 that the largest is above 1."""

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a detector knows of a change, one value a stream.

    Attributes:
        mean: of the values since the change, by relative weight.
        count: about how many values that is, each counted by its weight.
        since: about when the change began, Unix seconds.
    """

    mean: Array
    count: Array
    since: Array


class Detector:
    """Evidence that the mean of each stream is below its null.

    M, and the weighted sums since each possible change, are kept as a logarithm and as ratios to M: they neither
    overflow nor vanish, however long a stream is.

    Args:
        null: the mean above which nothing is wrong, of each stream, within 0 and 1.
        most: how large a value can be, at least 1.
    """

    def __init__(self, null: ArrayLike, most: float = 1.0) -> None:
        self._most = most
        self._nulls, self._stakes = _stakes(np.atleast_1d(np.asarray(null, dtype=np.float64)), most)
        shape = self._stakes.shape
        self._log_mass, self._counts = np.full(shape, -np.inf), np.zeros(shape)
        self._sums, self._since = np.zeros(shape), np.zeros(shape)

    def bet(self, values: ArrayLike, weights: ArrayLike, fresh: ArrayLike, now: ArrayLike, where: Mask) -> None:
        """Bet on the next value of each stream of `where`.

        Args:
            values: within 0 and 1, or where a detector was made for larger ones, at most that.
            weights: relative, above 0 and at most 1.
            fresh: share of the period that has passed since the last value, above 0.
            now: Unix seconds.
        """
        if not where.any():
            return
        x, r, h, at = map(_column, (values, weights, fresh, now))
        grown = np.logaddexp(self._log_mass, np.log(SHARES * h))
        older = np.exp(self._log_mass - grown)  # share of the mass that is not of this value
        mass = grown + np.log1p(self._stakes * (r * (self._nulls - x)))
        counts, sums = self._counts * older + r, self._sums * older + r * x
        since = self._since * older + at * (1.0 - older)
        if not where.all():
            rows = where[:, None]
            mass, counts = np.where(rows, mass, self._log_mass), np.where(rows, counts, self._counts)
            sums, since = np.where(rows, sums, self._sums), np.where(rows, since, self._since)
        self._log_mass, self._counts, self._sums, self._since = mass, counts, sums, since

    def log_evidence(self) -> Array:
        """Return the logarithm of the sum over the bets: log(1/α) is reached by chance with probability α."""
        return np.logaddexp.reduce(self._log_mass, axis=1)

    def reaches(self, log_evidence: float) -> Mask:
        """Return which streams have evidence whose logarithm is at least this much."""
        # A sum is at most this many times its largest term, so more is seldom computed.
        near = self._log_mass.max(axis=1) >= log_evidence - math.log(len(GAPS))
        return near & (self.log_evidence() >= log_evidence) if near.any() else near

    def read(self) -> Reading:
        """Return what is known of a change; without any bet, NaN."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.exp(self._log_mass - self._log_mass.max(axis=1)[:, None])
            total, counts = shares.sum(axis=1), (shares * self._counts).sum(axis=1)
            return Reading(
                mean=(shares * self._sums).sum(axis=1) / counts,
                count=counts / total,
                since=(shares * self._since).sum(axis=1) / total,
            )

    def reset(self, where: Mask) -> None:
        """Forget all evidence of the streams of `where`."""
        self._log_mass[where] = -np.inf
        for array in (self._counts, self._sums, self._since):
            array[where] = 0.0

    def keep(self, where: Mask) -> None:
        """Follow the streams of `where` alone from now on."""
        for name in ("_nulls", "_stakes", "_log_mass", "_counts", "_sums", "_since"):
            setattr(self, name, getattr(self, name)[where])

    def move(self, null: Array, where: Mask) -> None:
        """Give the streams of `where` another null, and forget their evidence."""
        nulls, stakes = _stakes(null, self._most)
        self._nulls = np.where(where[:, None], nulls, self._nulls)
        self._stakes = np.where(where[:, None], stakes, self._stakes)
        self.reset(where)

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "null": self._nulls[:, 0].tolist(),
            "log_mass": [[None if mass == -np.inf else mass for mass in row] for row in self._log_mass.tolist()],
            "counts": self._counts.tolist(),
            "sums": self._sums.tolist(),
            "since": self._since.tolist(),
        }

    @classmethod
    def load(cls, state: dict[str, Any], most: float = 1.0) -> "Detector":
        """Return the detector that `dump` described, for values as large as before."""
        made = cls(state["null"], most)
        mass = np.asarray(state["log_mass"], dtype=np.float64)  # None becomes NaN
        made._log_mass = np.where(np.isnan(mass), -np.inf, mass)
        made._counts, made._sums, made._since = (
            np.asarray(state[name], dtype=np.float64) for name in ("counts", "sums", "since")
        )
        return made


def _column(values: ArrayLike) -> Array:
    """Return one value a stream as a column, and one for all streams as it is."""
    array = np.asarray(values, dtype=np.float64)
    return array[:, None] if array.ndim else array


def _stakes(null: Array, most: float) -> tuple[Array, Array]:
    """Return the nulls, kept off the edges, as a column, and the stakes of their bets."""
    nulls = np.clip(null, EDGE, 1 - EDGE)[:, None]
    variance = nulls * (1 - nulls) * (1 + SPREAD * (most - 1))
    return nulls, np.minimum(np.asarray(GAPS) / variance, MOST_STAKED / (most - nulls))
