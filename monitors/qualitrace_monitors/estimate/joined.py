"""One estimate from a cascade's two judges: the local one, which saw many traces, and the model, which saw few of them.

It is prediction-powered (Angelopoulos, Duchi and Zrnic, "PPI++", arXiv:2311.01453): the model's mean, moved by how far
the local judge's mean over all traces is from that over the model's traces, times λ:

    mean of y + λ · (mean of x over all - mean of x)        y: the model's values; x: the local judge's

All means are weighted by 1 / inclusion probability, so its expectation is that of the model's values, whatever the
local judge is worth. λ, within 0 and 1, is the one with the least variance: where the local scores say nothing it is
0, and the estimate the model's own.

The variance is that of sampling in two steps (Särndal, Swensson and Wretman, "Model Assisted Survey Sampling", 1992,
chapter 9): of the picks for the model, in which only y - λx counts, and of the picks before them. The interval is
that of as many of the model's values alone as have this variance, so it is honest for few of them, too.
"""

from collections.abc import Mapping

from qualitrace_monitors.estimate.interval import NEGLIGIBLE, Moments
from qualitrace_monitors.estimate.pairs import PREDICTORS, Sums, column

DISAGREEMENT = 0.25
"""How much one more trace counts, on which local judge and model disagree: a few that agree prove little."""


def join(sums: Sums, quantity: str, local_means: Mapping[str, float], model: Moments | None = None) -> Moments:
    """Join both judges.

    Args:
        sums: those of `estimate.pairs`, over at least one pair.
        quantity: `passed`, `not_failed` or `value`.
        local_means: the local judge's weighted means over all of its traces, by the names in `PREDICTORS`.
        model: the moments of the model's scores alone; None if no two are of one session.

    Returns:
        the moments of as many equally weighted values as the estimate is worth, which have its mean.
    """
    best = _best(sums, quantity)
    own = best.mean_of(quantity)
    if best.spread < NEGLIGIBLE:  # all alike: there is nothing to predict
        return _like(own, own**2, best.samples, best, model)
    mean = own + best.power * (local_means[best.predictor] - best.mean_of(best.predictor))
    mean = min(1.0, max(0.0, mean))
    shrunk = min(1.0, mean * (1 - mean) / (own * (1 - own)))  # values vary less near 0 and 1
    samples = min(best.samples * best.gain, max(best.samples, best.traces))
    return _like(mean, mean**2 + best.spread * shrunk, samples, best, model)


def prediction(sums: Sums, quantity: str) -> tuple[str, float]:
    """Return by what of the local score a quantity of the model's is predicted, by its name in `PREDICTORS`, and λ."""
    best = _best(sums, quantity)
    return best.predictor, 0.0 if best.spread < NEGLIGIBLE else best.power


def _best(sums: Sums, quantity: str) -> "_Pairs":
    return min((_Pairs(sums, quantity, name) for name in PREDICTORS[quantity]), key=lambda pairs: pairs.variance)


def _like(mean: float, square: float, samples: float, pairs: "_Pairs", model: Moments | None) -> Moments:
    """Return the moments of values worth that many, or less for the model's sessions, whose scores are alike."""
    heaviest = 1.0
    if model is not None:
        effect = pairs.effect(model)
        session = pairs.samples / min(pairs.samples, model.kish_samples) / effect
        heaviest = max(1.0, session, model.heaviest * pairs.samples / model.weight)
        samples /= effect
    first = samples * mean
    return Moments(
        weight=samples,
        squared_weight=samples,
        first=first,
        squared_first=first,
        squared_second=samples * square,
        heaviest=heaviest,
    )


class _Pairs:
    """A quantity y of the model's and a predictor x of it, with the sums over the pairs.

    Attributes:
        power: λ.
        variance: of the estimate, times the squared sum of the weights.
    """

    def __init__(self, sums: Sums, quantity: str, predictor: str) -> None:
        self._sums, self._quantity, self.predictor = sums, quantity, predictor
        self._weight = self._sum("w")
        of_y, of_x = self._moment("a", quantity, quantity), self._moment("a", predictor, predictor)
        of_both = self._moment("a", quantity, predictor)
        self.power = min(1.0, max(0.0, of_both / of_x)) if of_x > NEGLIGIBLE * self._sum("a") else 0.0
        residual = max(0.0, of_y - 2 * self.power * of_both + self.power**2 * of_x)
        doubt = DISAGREEMENT * self.power * (self._sum("a") / self._weight) ** 2
        before = self._moment("b", quantity, quantity)
        self._alone, self.variance = of_y + before, residual + doubt + before
        if self.variance >= self._alone:
            self.power, self.variance = 0.0, self._alone

    def _sum(self, weight: str, *names: str) -> float:
        return self._sums[column(weight, *names)]

    def mean_of(self, name: str) -> float:
        """Return the weighted mean over the pairs."""
        return self._sum("w", name) / self._weight

    def _moment(self, weight: str, one: str, other: str) -> float:
        """Return the weighted sum of products of how far two quantities are from their means."""
        first, second = self.mean_of(one), self.mean_of(other)
        crossed = self._sum(weight, one, other) - first * self._sum(weight, other) - second * self._sum(weight, one)
        return crossed + first * second * self._sum(weight)

    @property
    def gain(self) -> float:
        """How many times as much the estimate is worth as the model's values alone, 1 at least."""
        return self._alone / self.variance if self.variance > 0 else 1.0

    @property
    def traces(self) -> float:
        """Effective number of the traces that the pairs are a sample of."""
        return self._weight**2 / self._sum("b")

    @property
    def spread(self) -> float:
        """The weighted variance of y."""
        return self._sum("w", self._quantity, self._quantity) / self._weight - self.mean_of(self._quantity) ** 2

    @property
    def samples(self) -> float:
        """Effective number of the model's values: Kish's, or the one by the linearised variance if that is less."""
        kish = self._weight**2 / (self._sum("a") + self._sum("b"))
        # Kish's alone is too large where the heavily weighted values, those of rarely sampled traces, vary more.
        return kish if self.spread < NEGLIGIBLE else min(kish, self.spread * self._weight**2 / self._alone)

    def effect(self, model: Moments) -> float:
        """How many times the variance of the model's mean is that of values without sessions, 1 at least."""
        mean = model.mean
        strayed = model.squared_second - 2 * mean * model.squared_first + mean**2 * model.squared_weight
        alone = self._alone / self._weight**2
        return max(1.0, strayed / model.weight**2 / alone) if alone > 0 else 1.0
