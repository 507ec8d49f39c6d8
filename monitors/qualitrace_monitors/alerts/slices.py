"""Which part of a service's traffic explains a change: a model, prompt version, release, route or retriever.

With the share s of a part in the answers since the change, its mean m, and the mean b of all answers before,
s · (b - m) is what would be left of the change if only this part had changed. A part is named if that is half of the
change or more, and if its answers are worse than those of the other parts by more than chance (Mann and Whitney's test,
with Bonferroni's correction for the number of parts).
"""

import itertools
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qualitrace_collector.sample import SLICES
from qualitrace_monitors.alerts.quoting import quoted
from qualitrace_monitors.estimate.scores import KEEP_SECONDS

MOST_SCORES = 5_000
"""Scores that are read of each side of the change, the ones next to it."""

MOST_READ = 50_000
"""Scores among which those of a rule are looked for: a quarter of a second."""

MOST_VALUES = 20
"""Values of a column that are looked at, the most frequent ones since the change."""

MOST_NAMED, PARTS_SHOWN = 3, 5
"""Columns that a notification names, and the parts of each with their numbers."""

NAME_CHARACTERS = 120

LEAST_BESIDE = 20
"""Scores of other parts since the change with which one is compared: fewer show nothing."""

LEAST_EXPLAINED = 0.5
CHANCE = 0.05

_ESTIMATED = (
    "The rate above is the estimate on which the alert fired, with each score by its weight and by how likely it came "
    "after the change."
)

Measure = Callable[[sqlite3.Row], float]


@dataclass(frozen=True, slots=True)
class ScoresOf:
    """Whose scores are meant.

    Attributes:
        holds: whether a row of the score table, which has the service and `SLICES`, is one of them.
    """

    judge: str
    tier: str
    service: str
    holds: Callable[[sqlite3.Row], bool]

    def read(
        self, connection: sqlite3.Connection, select: str, rest: str, parameters: Sequence[object], most: int
    ) -> list[sqlite3.Row]:
        """Return at most that many of them, of those that count in estimates.

        Args:
            select: SQL of more columns and the tables, from the first comma on.
            rest: SQL of further conditions and the order.
            parameters: of `rest`.
        """
        rows = connection.execute(
            f"SELECT service, label, value, {', '.join(SLICES)}{select} "
            f"WHERE judge = ? AND tier = ? AND service = ? AND inclusion_probability > 0 AND {rest} LIMIT {MOST_READ}",
            (self.judge, self.tier, self.service, *parameters),
        )
        return list(itertools.islice(filter(self.holds, rows), most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The scores of one value of a column.

    Attributes:
        count, count_before: scores since the change, and before it.
        mean, mean_before: of the rule's quantity; None without scores.
        explained: share of the change that it explains; 0 if its difference may be chance.
    """

    column: str
    value: str
    count: int
    count_before: int
    mean: float | None
    mean_before: float | None
    explained: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """What changed.

    Attributes:
        whole: all scores; of no column.
        columns: the parts of each column that has one which explains the change, the best explanation first.
    """

    whole: Part
    columns: Sequence[Sequence[Part]]


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores of one side of the change; `average` is their weighted mean, NaN without any."""

    rows: Sequence[sqlite3.Row]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    average: float

    def of(self, column: str, value: str) -> NDArray[np.bool_]:
        """Return which of them are of a part."""
        return np.array([row[column] == value for row in self.rows], dtype=np.bool_)

    def mean(self, mask: NDArray[np.bool_]) -> float | None:
        """Return the weighted mean of some of them."""
        return float(np.average(self.values[mask], weights=self.weights[mask])) if mask.any() else None


def parts_of_change(
    connection: sqlite3.Connection,
    scores: ScoresOf,
    since: float,
    now: float,
    measure: Measure,
    *,
    fell: bool,
) -> Change | None:
    """Look for what explains a change; None where the scores do not show one.

    Args:
        scores: whose scores changed.
        since: about when the change began, Unix seconds.
        measure: from a row of the score table to the rule's quantity.
        fell: whether the quantity fell; else it rose.
    """
    since_then = _read(connection, scores, since, now, ">=", measure)
    before = _read(connection, scores, since, now, "<", measure)
    if not since_then.rows or not before.rows:
        return None
    change = before.average - since_then.average
    if (change > 0) != fell or change == 0:  # the moment of the change is an estimate
        return None
    columns = [(column, _values(since_then, before, column)) for column in SLICES]
    tests = sum(len(values) for _, values in columns)
    found = [
        [_part(since_then, before, column, value, change, tests) for value in values] for column, values in columns
    ]
    explaining = [parts for parts in found if any(part.explained for part in parts)]
    return Change(
        Part(
            column="",
            value="",
            count=len(since_then.rows),
            count_before=len(before.rows),
            mean=since_then.average,
            mean_before=before.average,
        ),
        sorted(explaining, key=lambda parts: -max(part.explained for part in parts)),
    )


def _read(
    connection: sqlite3.Connection, scores: ScoresOf, since: float, now: float, side: str, measure: Measure
) -> _Scores:
    rest = f"completed_at > ? AND completed_at <= ? AND scored_at {side} ? ORDER BY completed_at DESC"
    parameters = since - KEEP_SECONDS, now, since
    rows = scores.read(connection, ", inclusion_probability FROM score", rest, parameters, MOST_SCORES)
    values = np.array([measure(row) for row in rows], dtype=np.float64)
    weights = np.array([1 / row["inclusion_probability"] for row in rows], dtype=np.float64)
    return _Scores(rows, values, weights, float(np.average(values, weights=weights)) if rows else math.nan)


def _values(since_then: _Scores, before: _Scores, column: str) -> list[str]:
    """Return the values of a column, the most frequent ones first: none if there is one only, then as before."""
    counts = {row[column]: 0 for row in (*since_then.rows, *before.rows)}
    if len(counts) == 1:
        return []
    for row in since_then.rows:
        counts[row[column]] += 1
    return sorted(counts, key=lambda value: (-counts[value], value))[:MOST_VALUES]


def _part(since_then: _Scores, before: _Scores, column: str, value: str, change: float, tests: int) -> Part:
    mask, mask_before = since_then.of(column, value), before.of(column, value)
    mean = since_then.mean(mask)
    part = Part(
        column=column,
        value=value,
        count=int(mask.sum()),
        count_before=int(mask_before.sum()),
        mean=mean,
        mean_before=before.mean(mask_before),
    )
    others = since_then.values[~mask]
    if len(others) < LEAST_BESIDE and not part.count_before:  # a new one that has taken the place of those before
        others = np.concatenate((others, before.values))
    if mean is None or not value or not len(others) or not _is_worse(since_then.values[mask], others, change, tests):
        return part
    share = float(since_then.weights[mask].sum() / since_then.weights.sum())
    explained = share * (before.average - mean) / change
    return part if explained < LEAST_EXPLAINED else replace(part, explained=min(1.0, explained))


def _is_worse(values: NDArray[np.float64], others: NDArray[np.float64], change: float, tests: int) -> bool:
    from scipy.stats import mannwhitneyu  # slow to load, and seldom needed: when an alert fires

    side = "less" if change > 0 else "greater"
    return float(mannwhitneyu(values, others, alternative=side, method="asymptotic").pvalue) <= CHANCE / tests


def explanation(change: Change | None, quantity: str) -> str:
    """Say in lines what explains a change of `quantity`, with the numbers of each part; or that nothing does.

    Args:
        change: what `parts_of_change` returned.
    """
    if change is None or not change.columns:
        return f" No {', '.join(map(_words, SLICES[:-1]))} or {_words(SLICES[-1])} explains it."
    # The parts add up to this, and not to the first line, whose estimate the reader would compare them with.
    lines = f"\nAll scores since then: {_numbers(change.whole, _words(quantity))}. {_ESTIMATED}"
    for parts in change.columns[:MOST_NAMED]:
        for part in parts:
            if part.explained:
                lines += f"\n{_words(part.column).capitalize()} {_name(part)} explains {part.explained:.0%} of it:"
        shown = sorted(parts, key=lambda part: -part.explained)[:PARTS_SHOWN]
        lines += "".join(f"\n- {_name(part)}: {_numbers(part, _words(quantity))}" for part in shown)
    return lines


def _name(part: Part) -> str:
    return quoted(part.value, NAME_CHARACTERS) or "(none)"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _numbers(part: Part, quantity: str) -> str:
    """Return the numbers of a part: `pass rate 0.42 in 61 answers, before 0.93 in 210`."""
    now = "no answers" if part.mean is None else f"{quantity} {part.mean:.2f} in {part.count:,} answers"
    before = "none before" if part.mean_before is None else f"before {part.mean_before:.2f} in {part.count_before:,}"
    return f"{now}, {before}"
