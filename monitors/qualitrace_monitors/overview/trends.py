"""How pass rates went over the last day, by the hour."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qualitrace_monitors.estimate.estimator import JOINED
from qualitrace_monitors.estimate.sums import DAY, HOUR
from qualitrace_monitors.overview.inputs import Inputs
from qualitrace_monitors.overview.services import JudgeState
from qualitrace_monitors.overview.trusted import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A pass rate in steps: those that have scores.

    Attributes:
        step, window: seconds.
        at: when each step begins, Unix seconds, ascending.
        rates: None where every score is `unsure`.
        lower, upper: the ends of each step's interval.
    """

    step: float
    window: float
    at: Sequence[float]
    rates: Sequence[float | None]
    lower: Sequence[float]
    upper: Sequence[float]


def trends(inputs: Inputs, now: float, wanted: Iterable[tuple[str, JudgeState]]) -> dict[Key, Trend]:
    """Return the trends of some judges of services, by service and judge.

    Args:
        now: Unix seconds.
        wanted: services with their judges; of a cascade the model's scores count.
    """
    tiers = {(judge.judge, "llm" if judge.tier == JOINED else judge.tier, service) for service, judge in wanted}
    if not tiers:
        return {}
    return {
        (series.service, series.judge): Trend(
            step=series.step,
            window=DAY,
            at=series.at,
            rates=series.pass_rate,
            lower=series.pass_rate_ends.lower,
            upper=series.pass_rate_ends.upper,
        )
        for series in inputs.estimator.series(now, DAY, HOUR)
        if (series.judge, series.tier, series.service) in tiers
    }
