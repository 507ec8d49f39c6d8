"""Estimates in steps of equal length, with an interval each, from the sums of minutes, hours or days.

The sums know how much the answers of a session are alike over a whole window, not within each step of it. So a step's
interval takes each of its scores to be worth what one is worth in the window: less than a full one, where weights
differ or sessions have several scores. A step that is the whole window has exactly the window's interval. Of sessions
that go on from one step to the next, steps that follow each other are alike: the intervals hold for each step, not for
how much two of them differ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.interval import Worth
from qualitrace_monitors.estimate.sums import DAY, HOUR, LINEAR, MINUTE, moments, only_of, sum_up, unsliced

STEPS = (MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY)
MOST_STEPS = 300
"""A chart is not much wider in pixels."""
LEAST_STEPS = 12
"""However few the scores are: with less, a chart does not show when something changed."""
SCORES_PER_STEP = 20.0
"""On average: with less, an interval is most of the chart."""

_UNITS = {MINUTE: "minute", HOUR: "hour", DAY: "day"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The lower and upper ends of the intervals of each step."""

    lower: Sequence[float]
    upper: Sequence[float]


@dataclass(frozen=True, slots=True)
class Share:
    """A share in each of some steps, from so many scores each, and what a score is worth for its interval."""

    means: NDArray[np.float64]
    counts: NDArray[np.float64]
    worth: Worth

    def lower(self, confidence: float) -> list[float]:
        """Return the lower ends of the intervals."""
        return self.worth.lower(self.means, self.counts, confidence).tolist()

    def upper(self, confidence: float) -> list[float]:
        """Return the upper ends of the intervals."""
        return self.worth.upper(self.means, self.counts, confidence).tolist()


@dataclass(frozen=True, kw_only=True)  # without slots, for what is computed when it is asked for
class Series:
    """Estimates of one service by one judge, in steps: those that have scores.

    Intervals are computed when they are asked for: they take time.

    Attributes:
        step: seconds.
        at: when each step begins, Unix seconds, ascending. The last one may not be over.
        samples: scores of each step.
        sampling_rate: scores per trace that they stand for, 0 to 1.
        pass_rate: None where every score is `unsure`.
        unsure_share: 0 to 1.
        passed, not_failed, value: what the intervals rest on.
    """

    judge: str
    tier: str
    service: str
    step: float
    at: Sequence[float]
    samples: Sequence[int]
    sampling_rate: Sequence[float]
    pass_rate: Sequence[float | None]
    mean_score: Sequence[float]
    unsure_share: Sequence[float]
    confidence: float
    passed: Share
    not_failed: Share
    value: Share

    @cached_property
    def pass_rate_ends(self) -> Ends:
        """The intervals of the pass rates: lower ends count `unsure` scores as fails, upper ends as passes."""
        return Ends(lower=self.passed.lower(self.confidence), upper=self.not_failed.upper(self.confidence))

    @cached_property
    def mean_score_ends(self) -> Ends:
        """The intervals of the mean scores."""
        return Ends(lower=self.value.lower(self.confidence), upper=self.value.upper(self.confidence))


def step_for(window: float, scores: float = math.inf) -> float:
    """Return a length of steps, seconds, for a window (seconds) with so many scores."""
    least = window / MOST_STEPS
    wanted = min(window / LEAST_STEPS, SCORES_PER_STEP * window / max(1.0, scores))
    return next((step for step in STEPS if step >= max(least, wanted)), STEPS[-1])


def series(
    database: Database,
    start: float,
    now: float,
    step: float,
    confidence: float = 0.95,
    judge: str | None = None,
    service: str | None = None,
) -> list[Series]:
    """Estimate in steps the quality of the traces completed from the step of `start` to `now` (Unix seconds).

    Args:
        step: one of `STEPS`.
        confidence: of each two-sided interval, at one look at one step, like 0.95.
        judge, service: only these; None for all.

    Returns:
        Series in order of judge, tier and service.
    """
    first = math.floor(start / step) * step
    wholes = sum_up(database, first, now, judge, service)
    rows = step_rows(database, first, now, step, judge, service)
    return [_series(whole, rows[key], step, confidence) for whole in wholes if (key := _key(whole)) in rows]


def _key(row: Any) -> tuple[str, str, str]:
    return row["judge"], row["tier"], row["service"]


def step_rows(
    database: Database, first: float, now: float, step: float, judge: str | None, service: str | None
) -> dict[tuple[str, str, str], list[Any]]:
    """Return the sums of each step, in order of time, by judge, tier and service.

    Args:
        first: Unix seconds, a multiple of `step`.

    Returns:
        Rows with `LINEAR`, and `place`: the number of the step since the Unix epoch.
    """
    size = max(unit for unit in _UNITS if unit <= step)
    unit, every = _UNITS[size], round(step / size)
    only, parameters = only_of(judge, service)
    read = unsliced(unit, math.floor(first / size), math.floor(now / size) + 1, only)
    query = f"""
        SELECT judge, tier, service, {unit} / {every} AS place, {", ".join(f"sum({name}) AS {name}" for name in LINEAR)}
        FROM {read} GROUP BY judge, tier, service, place HAVING sum(samples) > 0.5 ORDER BY place"""
    found: dict[tuple[str, str, str], list[Any]] = {}
    for row in database.connection().execute(query, parameters):
        found.setdefault(_key(row), []).append(row)
    return found


def _series(whole: dict[str, Any], rows: Sequence[Any], step: float, confidence: float) -> Series:
    columns = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in LINEAR}
    passed, not_failed, value = (
        Share(
            _share(columns[f"{name}_1"], columns["w"]),
            columns["samples"],
            Worth.of(moments(whole, name), whole["samples"]),
        )
        for name in ("passed", "not_failed", "value")
    )
    decided = 1 - not_failed.means + passed.means
    rates = zip(passed.means.tolist(), decided.tolist(), columns["verdicts"], strict=True)
    return Series(
        judge=whole["judge"],
        tier=whole["tier"],
        service=whole["service"],
        step=step,
        at=[row["place"] * step for row in rows],
        samples=[round(count) for count in columns["samples"]],
        sampling_rate=_share(columns["samples"], columns["w"]).tolist(),
        pass_rate=[min(1.0, rate / share) if verdicts > 0.5 else None for rate, share, verdicts in rates],
        mean_score=value.means.tolist(),
        unsure_share=np.clip(1 - decided, 0, 1).tolist(),
        confidence=confidence,
        passed=passed,
        not_failed=not_failed,
        value=value,
    )


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(part / whole, 0, 1)
