"""An interval for the mean of values between 0 and 1, honest for few samples and for unequal weights.

For n equally weighted values it is Gaffke's bound ("Three test statistics for a nonparametric one-sided
hypothesis on the mean of a nonnegative variable", Math. Methods of Statistics 14, 2005; Learned-Miller and
Thomas, arXiv:1905.06208): the mean of the values and one more 0 (for the upper bound, one more 1) under uniform
Dirichlet weights. Its quantile is taken from the beta distribution with the same mean and variance, so that four
sums suffice. For values that are only 0 or 1 this is exactly Clopper and Pearson's interval.

For unequal weights n is the effective sample size, as Korn and Graubard do for proportions ("Confidence intervals
for proportions with small expected number of positive counts estimated from survey data", Survey Methodology 24,
1998).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from scipy.special import betaincinv

NEGLIGIBLE = 1e-9
"""A mean or a variance below this is a rounding error, and taken for 0."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Sums over the values y of a sample and their weights w, from which an interval is computed.

    Attributes:
        weight, squared_weight: Σw and Σw².
        first, second: Σwy and Σwy².
        squared_first, squared_second: Σw²y and Σw²y².
    """

    weight: float
    squared_weight: float
    first: float
    second: float
    squared_first: float
    squared_second: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the moments of at least one value, all of equal weight."""
        first, second = sum(values), sum(value * value for value in values)
        count = float(len(values))
        return cls(
            weight=count, squared_weight=count, first=first, second=second, squared_first=first, squared_second=second
        )

    @property
    def mean(self) -> float:
        """Hájek's estimate Σwy / Σw, between 0 and 1."""
        return min(1.0, self.first / self.weight)

    @property
    def kish_samples(self) -> float:
        """Kish's effective sample size (Σw)² / Σw²: n for equal weights."""
        return self.weight**2 / self.squared_weight

    @property
    def effective_samples(self) -> float:
        """Kish's effective sample size, or the one by the linearised variance of the mean if that is less."""
        # Kish's alone is too large where the heavily weighted values, those of rarely sampled traces, vary more.
        mean = self.mean
        variance = self.second / self.weight - mean**2
        if variance < NEGLIGIBLE:
            return self.kish_samples
        strayed = self.squared_second - 2 * mean * self.squared_first + mean**2 * self.squared_weight
        return min(self.kish_samples, variance * self.weight**2 / strayed)

    def interval(self, confidence: float) -> Interval:
        """Return the two-sided interval of the mean, which lies within 0 and 1; `confidence` is like 0.95."""
        tail = (1 - confidence) / 2
        mean, square, samples = self.mean, self.second / self.weight, self.effective_samples
        upper = 1 - _lower_bound(1 - mean, 1 - 2 * mean + square, samples, tail)
        return _lower_bound(mean, square, samples, tail), upper


def _lower_bound(mean: float, square: float, samples: float, tail: float) -> float:
    """Return the bound that the true mean is below with probability `tail` at most; `square` is the mean of y²."""
    if mean < NEGLIGIBLE:
        return 0.0
    shrink = samples / (samples + 1)
    centre = shrink * mean
    variance = (shrink * square - centre**2) / (samples + 2)
    total = centre * (1 - centre) / variance - 1
    return float(betaincinv(centre * total, (1 - centre) * total, tail))
