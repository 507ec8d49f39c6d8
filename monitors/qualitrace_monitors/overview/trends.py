"""How pass rates went over the last day, by the hour."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.estimator import Estimate
from qualitrace_monitors.estimate.interval import Worth
from qualitrace_monitors.estimate.sums import DAY, HOUR
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


def trends(database: Database, now: float, wanted: Iterable[tuple[str, JudgeState]]) -> dict[Key, Trend]:
    """Return the trends of some judges of services, by service and judge; those without a score in a day are left out.

    Args:
        now: Unix seconds.
        wanted: services with their judges.
    """
    found = ((service, judge.judge, _trend(database, now, judge.scored)) for service, judge in wanted if judge.scored)
    return {(service, judge): trend for service, judge, trend in found if trend is not None}


def _trend(database: Database, now: float, of: Estimate) -> Trend | None:
    """Return the trend of what an estimate is of, by the primary key of the hours' sums: each is few rows.

    As in `estimate.series`, a score of an hour is worth for its interval what one is worth in the estimate's window.
    """
    last = math.floor(now / HOUR)
    rows = database.rows(
        "SELECT hour, samples, verdicts, w, passed_1, not_failed_1 FROM score_hour WHERE slice = '' AND judge = ? "
        "AND service = ? AND tier = ? AND value = '' AND hour > ? AND hour <= ? AND samples > 0.5 ORDER BY hour",
        (of.judge, of.service, of.tier, last - DAY / HOUR, last),
    )
    if not rows:
        return None
    hours, samples, verdicts, w, passed, not_failed = np.array([tuple(row) for row in rows], dtype=np.float64).T
    means = np.clip(passed / w, 0, 1), np.clip(not_failed / w, 0, 1)
    rates = np.clip(means[0] / np.where(verdicts > 0.5, 1 - means[1] + means[0], 1), 0, 1)
    lower, upper = (Worth.of(moments, of.samples) for moments in (of.passed, of.not_failed))
    return Trend(
        step=HOUR,
        window=DAY,
        at=(hours * HOUR).tolist(),
        rates=[rate if count > 0.5 else None for rate, count in zip(rates.tolist(), verdicts, strict=True)],
        lower=lower.lower(means[0], samples, of.confidence).tolist(),
        upper=upper.upper(means[1], samples, of.confidence).tolist(),
    )
