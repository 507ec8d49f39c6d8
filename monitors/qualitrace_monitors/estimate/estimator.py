"""Estimates of quality by judge, tier and service, from the sums over their scores."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate import pairs
from qualitrace_monitors.estimate.interval import Interval, Moments
from qualitrace_monitors.estimate.joined import join
from qualitrace_monitors.estimate.joined_series import joined_series
from qualitrace_monitors.estimate.sequence import Sequence, sequences
from qualitrace_monitors.estimate.series import Series, series
from qualitrace_monitors.estimate.sums import moments, sum_up, sum_up_slices

DEFAULT_WINDOW = 3600.0
"""Seconds over which quality is estimated for metrics and dashboard, beside the windows of the alert rules."""

JOINED = "joined"
"""The tier of the estimate that rests on both judges of a cascade."""

Quantity = Literal["pass_rate", "mean_score", "unsure_rate"]


@dataclass(frozen=True, kw_only=True)  # without slots, for what is computed when it is asked for
class Estimate:
    """Quality of one service by one judge over a window. An interval is computed when it is asked for: it takes time.

    Attributes:
        window: seconds.
        tier: `local`, `llm` or `scorer`; `joined` for both judges of a cascade together.
        samples: how many scores it rests on, `unsure` ones included; of a joined estimate, how many of the model's.
        effective_samples: Kish's effective sample size, which counts a session once. A joined estimate
            is worth as many of the model's scores alone.
        pass_rate: share of passes among the passes and fails; None if every score is `unsure`.
        mean_score: weighted mean of the values, 0 to 1.
        unsure_share: weighted share of the `unsure` scores, 0 to 1.
        sampling_rate: scores per trace that they stand for, 0 to 1; of a joined estimate, the model's.
        passed, not_failed, value, unsure: what the intervals rest on.
    """

    judge: str
    tier: str
    service: str
    window: float
    confidence: float
    samples: int
    effective_samples: float
    pass_rate: float | None
    mean_score: float
    unsure_share: float
    sampling_rate: float
    passed: Moments = field(repr=False)
    not_failed: Moments = field(repr=False)
    value: Moments = field(repr=False)
    unsure: Moments = field(repr=False)

    @cached_property
    def pass_rate_interval(self) -> Interval:
        """The interval of the pass rate: its lower bound counts `unsure` scores as fails, its upper bound as passes."""
        return self.passed.lower_bound(self.confidence), self.pass_rate_upper

    @cached_property
    def pass_rate_upper(self) -> float:
        """The upper bound of that interval."""
        return self.not_failed.upper_bound(self.confidence)

    @cached_property
    def mean_score_interval(self) -> Interval:
        """The interval of the mean score."""
        return self.value.interval(self.confidence)

    @cached_property
    def unsure_share_interval(self) -> Interval:
        """The interval of the share of `unsure` scores."""
        return self.unsure.interval(self.confidence)

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
        """Estimate the quality of the traces completed within the window before now, by whole minutes.

        A score weighs 1 / its inclusion probability. The intervals hold for one look: who looks again and again sees
        them miss the truth more often.

        Args:
            now: Unix seconds.
            window: seconds.
            confidence: of the two-sided intervals, like 0.95.
            judge, service: only these; None for all.

        Returns:
            Estimates in order of judge, tier and service.
        """
        rows = sum_up(self._database, now - window, now, judge, service)
        by_key = {(row["judge"], row["tier"], row["service"]): row for row in rows}
        found = {key: _estimate(row, window, confidence) for key, row in by_key.items()}
        for (of, for_service), sums in pairs.sum_up(self._database, now - window, now, judge, service).items():
            model, local = by_key.get((of, "llm", for_service)), by_key.get((of, "local", for_service))
            if model is not None and local is not None:
                estimate = found[of, "llm", for_service]
                found[of, JOINED, for_service] = _joined(estimate, model, local, sums)
        return [found[key] for key in sorted(found)]

    def series(
        self,
        now: float,
        window: float,
        step: float,
        confidence: float = 0.95,
        judge: str | None = None,
        service: str | None = None,
    ) -> list[Series]:
        """Estimate in steps over the window before now, see `series.series`."""
        return series(self._database, now - window, now, step, confidence, judge, service)

    def joined_series(
        self, now: float, window: float, step: float, *, judge: str, service: str, confidence: float = 0.95
    ) -> Series | None:
        """Estimate in steps as `series` does, from both judges of a cascade; None where not both have scored."""
        start = math.floor((now - window) / step) * step
        whole = self.estimates(now, now - start, confidence, judge, service)
        joined = next((each for each in whole if each.tier == JOINED), None)
        if joined is None:
            return None
        moments = {"passed": joined.passed, "not_failed": joined.not_failed, "value": joined.value}
        return joined_series(self._database, start, now, step, confidence, (judge, service), moments)

    def sequences(
        self,
        since: float | None = None,
        confidence: float = 0.95,
        judge: str | None = None,
        service: str | None = None,
    ) -> list[Sequence]:
        """Estimate since a fixed start with intervals that hold at every look, see `sequence.sequences`."""
        return sequences(self._database, since, confidence, judge, service)

    def slices(
        self,
        by: str,
        now: float,
        window: float,
        confidence: float = 0.95,
        judge: str | None = None,
        service: str | None = None,
    ) -> list[tuple[str, Estimate]]:
        """Estimate as `estimates` does for each value of a slice, by whole hours; scores without a value are left out.

        Args:
            by: `version` (the judge's), `model`, `prompt_version`, `release`, `environment`, `route` or `retriever`.

        Returns:
            Values with their estimates, in order of judge, tier, service and value.
        """
        rows = sum_up_slices(self._database, by, now - window, now, judge, service)
        return [(row["sliced"], _estimate(row, window, confidence)) for row in rows]


def _joined(estimate: Estimate, model: Mapping[str, Any], local: Mapping[str, Any], sums: pairs.Sums) -> Estimate:
    """Return the estimate of a cascade: the model's, with what the local judge saw of the other traces.

    Args:
        model, local: the sums of the two tiers.
        sums: those of `estimate.pairs`.
    """
    names = ("passed", "not_failed", "value")
    means = {f"local_{name}": local[f"{name}_1"] / local["w"] for name in names}
    passed, not_failed, value = (join(sums, name, means, moments(model, name)) for name in names)
    decided = max(1 - estimate.unsure_share, passed.mean)
    return replace(
        estimate,
        tier=JOINED,
        samples=round(sums["samples"]),
        effective_samples=passed.kish_samples,
        pass_rate=passed.mean / decided if sums["verdicts"] > 0.5 else None,
        mean_score=value.mean,
        passed=passed,
        not_failed=not_failed,
        value=value,
    )


def _estimate(row: Mapping[str, Any], window: float, confidence: float) -> Estimate:
    passed, not_failed, value = moments(row, "passed"), moments(row, "not_failed"), moments(row, "value")
    unsure = replace(
        not_failed,
        first=not_failed.first - passed.first,
        squared_first=not_failed.squared_first - passed.squared_first,
        squared_second=row["unsure_w2"],
    )
    decided = 1 - unsure.first / unsure.weight
    return Estimate(
        judge=row["judge"],
        tier=row["tier"],
        service=row["service"],
        window=window,
        confidence=confidence,
        samples=round(row["samples"]),
        effective_samples=value.kish_samples,
        pass_rate=min(1.0, passed.mean / decided) if row["verdicts"] > 0.5 else None,
        mean_score=value.mean,
        unsure_share=unsure.mean,
        sampling_rate=min(1.0, row["samples"] / row["w"]),
        passed=passed,
        not_failed=not_failed,
        value=value,
        unsure=unsure,
    )
