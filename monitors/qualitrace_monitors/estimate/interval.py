"""An interval for the mean of values between 0 and 1, honest for few values, unequal weights and sessions.

For n equally weighted values it is Gaffke's bound ("Three test statistics for a nonparametric one-sided
hypothesis on the mean of a nonnegative variable", Math. Methods of Statistics 14, 2005; Learned-Miller and
Thomas, arXiv:1905.06208): the mean of the values and one more 0 (for the upper bound, one more 1) under uniform
Dirichlet weights. Its quantile is taken from the beta distribution with the same mean and variance, so that a few
sums suffice. For values that are only 0 or 1 this is exactly Clopper and Pearson's interval.

The Dirichlet weights are those of independent exponential variables. Where values have weights, each is that many
times such a variable, and the values of a session, which are alike, share one. The one more value is as heavy as any
value can be, and as a session: what was not seen yet may weigh that much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

NEGLIGIBLE = 1e-9
"""A mean below this is a rounding error, and taken for 0."""

Interval = tuple[float, float]
Floats = NDArray[np.float64]
_T = TypeVar("_T", float, Floats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sums over the values y of a sample and their weights w, from which an interval is computed.

    Squares are of sums over each session: for values that are alone, Σ(Σw)² is Σw².

    Attributes:
        weight: Σw.
        first: Σwy.
        squared_weight, squared_first, squared_second: Σ(Σw)², Σ(Σw)(Σwy) and Σ(Σwy)².
        heaviest: the weight that a value may have, at most; if it is less than that of a session, that of a session.
    """

    weight: float
    squared_weight: float
    first: float
    squared_first: float
    squared_second: float
    heaviest: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the moments of at least one value, all of equal weight."""
        first, second = sum(values), sum(value * value for value in values)
        count = float(len(values))
        return cls(weight=count, squared_weight=count, first=first, squared_first=first, squared_second=second)

    @property
    def mean(self) -> float:
        """Hájek's estimate Σwy / Σw, between 0 and 1."""
        return min(1.0, self.first / self.weight)

    @property
    def kish_samples(self) -> float:
        """Kish's effective number of independent values (Σw)² / Σ(Σw)²: n for equal weights, or as many sessions."""
        return self.weight**2 / self.squared_weight

    def interval(self, confidence: float) -> Interval:
        """Return the two-sided interval of the mean, which lies within 0 and 1; `confidence` is like 0.95."""
        return self.lower_bound(confidence), self.upper_bound(confidence)

    def lower_bound(self, confidence: float) -> float:
        """Return the lower end of `interval`."""
        return _lower_bound(self, (1 - confidence) / 2)

    def upper_bound(self, confidence: float) -> float:
        """Return the upper end of `interval`."""
        rest = replace(  # of 1 - y
            self,
            first=self.weight - self.first,
            squared_first=self.squared_weight - self.squared_first,
            squared_second=self.squared_weight - 2 * self.squared_first + self.squared_second,
        )
        return 1 - _lower_bound(rest, (1 - confidence) / 2)


def _lower_bound(moments: Moments, tail: float) -> float:
    """Return the bound that the true mean is below with probability `tail` at most."""
    if moments.first < NEGLIGIBLE * moments.weight:
        return 0.0
    zero = max(moments.heaviest, moments.squared_weight / moments.weight)
    squares = moments.squared_weight, moments.squared_first, moments.squared_second
    return float(_bound(moments.weight, moments.first, *squares, zero, tail))


def _bound(
    weight: _T, first: _T, squared_weight: _T, squared_first: _T, squared_second: _T, zero: float, tail: float
) -> _T:
    """Return the bound from the moments with one more 0 of a weight; `first` is above 0."""
    from scipy.special import betaincinv  # slow to load, and most commands do not need it

    weight, squared_weight = weight + zero, squared_weight + zero**2
    mean = first / weight
    strayed = squared_second - 2 * mean * squared_first + mean**2 * squared_weight
    samples = weight**2 / squared_weight
    variance = strayed / weight**2 * samples / (samples + 1)
    total = mean * (1 - mean) / variance - 1
    return cast(_T, betaincinv(mean * total, (1 - mean) * total, tail))


@dataclass(frozen=True, slots=True)
class Worth:
    """What the values of a sample are worth, for the intervals of its parts.

    Attributes:
        each: how many equally weighted, independent values one of them is worth: at most 1, but for joined estimates.
        spread: their variance, as a share of the greatest that values of their mean can have, which is `greatest`.
        tilt: how much greater the mean is where values weigh more by their square.
        heaviest: the weight that a value may have, at most, where the mean is 1.
    """

    each: float
    spread: float
    greatest: float
    tilt: float
    heaviest: float

    @classmethod
    def of(cls, moments: Moments, samples: float) -> Self:
        """Return what that many values with these moments are worth."""
        mean, kish = moments.mean, moments.kish_samples
        strayed = moments.squared_second - 2 * mean * moments.squared_first + mean**2 * moments.squared_weight
        greatest = mean * (1 - mean)
        return cls(
            each=kish / samples,
            spread=strayed / moments.squared_weight / greatest if greatest > NEGLIGIBLE else 1.0,
            greatest=greatest,
            tilt=moments.squared_first / moments.squared_weight - mean,
            heaviest=max(1.0, moments.heaviest * kish / moments.weight),
        )

    def lower(self, means: Floats, counts: Floats, confidence: float) -> Floats:
        """Return the lower ends of the two-sided intervals of the means of that many of the values each."""
        return self._lower_bounds(means, counts, self.tilt, (1 - confidence) / 2)

    def upper(self, means: Floats, counts: Floats, confidence: float) -> Floats:
        """Return the upper ends of these intervals."""
        return 1 - self._lower_bounds(1 - means, counts, -self.tilt, (1 - confidence) / 2)

    def _lower_bounds(self, means: Floats, counts: Floats, tilt: float, tail: float) -> Floats:
        bounds = np.zeros_like(means)
        some = means > NEGLIGIBLE
        mean, weight = means[some], counts[some] * self.each
        variance = mean * (1 - mean)
        # The tilt fades as all values get alike.
        tilted = mean + tilt * np.minimum(1.0, variance / max(self.greatest, NEGLIGIBLE))
        second = self.spread * variance + 2 * mean * tilted - mean**2
        bounds[some] = _bound(weight, weight * mean, weight, weight * tilted, weight * second, self.heaviest, tail)
        return bounds
