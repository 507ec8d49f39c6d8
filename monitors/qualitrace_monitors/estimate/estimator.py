"""Estimates of quality by judge, tier and service, from the sums over their scores."""

import sqlite3
from dataclasses import dataclass, replace
from typing import Literal

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate import pairs
from qualitrace_monitors.estimate.interval import Interval, Moments
from qualitrace_monitors.estimate.joined import join
from qualitrace_monitors.estimate.scores import sum_up

DEFAULT_WINDOW = 3600.0
"""Seconds over which quality is estimated for metrics and dashboard, beside the windows of the alert rules."""

JOINED = "joined"
"""The tier of the estimate that rests on both judges of a cascade."""

Quantity = Literal["pass_rate", "mean_score", "unsure_rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Quality of one service by one judge over a window.

    Attributes:
        window: seconds.
        tier: `local`, `llm` or `scorer`; `joined` for both judges of a cascade together.
        samples: how many scores it rests on, `unsure` ones included; of a joined estimate, how many of the model's.
        effective_samples: Kish's effective sample size, which is less than `samples` where the weights differ. A joined
            estimate is worth as many of the model's scores alone.
        pass_rate: share of passes among the passes and fails; None if every score is `unsure`.
        pass_rate_interval: its lower bound counts `unsure` scores as fails, its upper bound as passes.
        mean_score: weighted mean of the values, 0 to 1.
        unsure_share: weighted share of the `unsure` scores, 0 to 1.
        unsure_share_interval: its interval.
    """

    judge: str
    tier: str
    service: str
    window: float
    confidence: float
    samples: int
    effective_samples: float
    pass_rate: float | None
    pass_rate_interval: Interval
    mean_score: float
    mean_score_interval: Interval
    unsure_share: float
    unsure_share_interval: Interval

    def quantity(self, name: Quantity) -> tuple[float | None, Interval]:
        """Return the point estimate and the interval of what an alert rule names."""
        if name == "pass_rate":
            return self.pass_rate, self.pass_rate_interval
        if name == "unsure_rate":
            return self.unsure_share, self.unsure_share_interval
        return self.mean_score, self.mean_score_interval


class Estimator:
    """Makes estimates from the scores in a state database; thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def estimates(
        self,
        now: float,
        window: float,
        confidence: float = 0.95,
        judge: str | None = None,
        service: str | None = None,
    ) -> list[Estimate]:
        """Estimate the quality of the traces completed in (now - window, now], weighted by 1 / inclusion probability.

        The intervals hold for one look. A rule that looks again and again is met by chance more often than they say.

        Args:
            now: Unix seconds.
            window: seconds.
            confidence: of the two-sided intervals, like 0.95.
            judge, service: only these; None for all.

        Returns:
            Estimates in order of judge, tier and service.
        """
        rows = sum_up(self._database, now - window, now, judge, service)
        found = {_key(row): _estimate(row, window, confidence) for row in rows}
        joined = pairs.sum_up(self._database, now - window, now, judge, service)
        for row in rows:
            if row["tier"] == "local" and (sums := joined.get((row["judge"], row["service"]))):
                model = found[row["judge"], "llm", row["service"]]
                found[row["judge"], JOINED, row["service"]] = _joined(model, row, sums)
        return [found[key] for key in sorted(found)]


def _key(row: sqlite3.Row) -> tuple[str, str, str]:
    return row["judge"], row["tier"], row["service"]


def _joined(model: Estimate, local: sqlite3.Row, sums: pairs.Sums) -> Estimate:
    """Return the estimate of a cascade: the model's, with what the local judge saw of the other traces.

    Args:
        local: the sums of the local tier.
        sums: those of `estimate.pairs`.
    """
    means = {f"local_{name}": local[f"{name}_1"] / local["w"] for name in ("passed", "not_failed", "value")}
    passed, not_failed, value = (join(sums, name, means) for name in ("passed", "not_failed", "value"))
    decided = max(1 - model.unsure_share, passed.mean)
    return replace(
        model,
        tier=JOINED,
        samples=int(sums["samples"]),
        effective_samples=passed.kish_samples,
        pass_rate=passed.mean / decided if sums["verdicts"] else None,
        pass_rate_interval=(passed.interval(model.confidence)[0], not_failed.interval(model.confidence)[1]),
        mean_score=value.mean,
        mean_score_interval=value.interval(model.confidence),
    )


def _estimate(row: sqlite3.Row, window: float, confidence: float) -> Estimate:
    passed, not_failed, value = _moments(row, "passed"), _moments(row, "not_failed"), _moments(row, "value", "2")
    unsure_share = not_failed.mean - passed.mean
    decided = 1 - unsure_share
    return Estimate(
        judge=row["judge"],
        tier=row["tier"],
        service=row["service"],
        window=window,
        confidence=confidence,
        samples=int(row["samples"]),
        effective_samples=value.kish_samples,
        pass_rate=min(1.0, passed.mean / decided) if row["verdicts"] else None,
        pass_rate_interval=(passed.interval(confidence)[0], not_failed.interval(confidence)[1]),
        mean_score=value.mean,
        mean_score_interval=value.interval(confidence),
        unsure_share=unsure_share,
        unsure_share_interval=_difference(not_failed, passed).interval(confidence),
    )


def _difference(one: Moments, other: Moments) -> Moments:
    """Return the moments of what is 1 where `one` is 1 and `other` is 0."""
    return replace(
        one,
        first=one.first - other.first,
        second=one.second - other.second,
        squared_first=one.squared_first - other.squared_first,
        squared_second=one.squared_second - other.squared_second,
    )


def _moments(row: sqlite3.Row, name: str, square: str = "1") -> Moments:
    """Return the moments of a quantity; one that is only 0 or 1 is its own square."""
    return Moments(
        weight=row["w"],
        squared_weight=row["ww"],
        first=row[f"{name}_1"],
        second=row[f"{name}_{square}"],
        squared_first=row[f"{name}_w1"],
        squared_second=row[f"{name}_w{square}"],
    )
