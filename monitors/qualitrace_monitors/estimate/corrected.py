"""Pass rates corrected for the judge's error, by experts' labels.

Of the answers that the judge passes, fails and is unsure of, experts have labelled some. The corrected rate is the
share of answers that they would call good: the share of each verdict, times the share of good ones among its labels.
It holds if the labelled answers are a fair sample of those with the same verdict; experts may well look at fails more
often than at passes. Labels of answers that were judged because somebody disliked them do not count.

The interval joins those of the parts (Zou and Donner's MOVER, Statistics in Medicine 27, 2008): it is exact for few
labels (Clopper and Pearson), and open where a verdict has none.
"""

import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.estimator import JOINED, Estimate
from qualitrace_monitors.estimate.interval import Interval, Moments

_UNLABELLED = {"pass": 1.0, "unsure": 0.5, "fail": 0.0}
"""What a verdict without labels counts: the judge's word."""

_LABELS = """
    SELECT score.judge, score.tier, score.service, score.version, score.label,
           sum(opinion.good) AS good, count(*) AS labels, max(score.scored_at) AS newest
    FROM (SELECT trace_id, name, avg(good) > 0.5 AS good FROM expert_label
          GROUP BY trace_id, name HAVING avg(good) != 0.5) AS opinion
    JOIN score ON score.trace_id = opinion.trace_id AND score.judge = opinion.name
    WHERE score.inclusion_probability > 0
    GROUP BY score.judge, score.tier, score.service, score.version, score.label"""
"""Where several experts labelled a trace, the majority counts; a draw does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A corrected pass rate.

    Attributes:
        of: the estimate that is corrected.
        labels: labelled answers that it rests on, of the judge's newest version that has any.
    """

    of: Estimate
    labels: int
    pass_rate: float
    interval: Interval


def correct(database: Database, estimates: Iterable[Estimate]) -> list[Corrected]:
    """Correct those of the estimates whose answers experts have labelled."""
    labels = _labels(database)
    found: list[Corrected] = []
    for estimate in estimates:
        tier = "llm" if estimate.tier == JOINED else estimate.tier
        if counts := labels.get((estimate.judge, tier, estimate.service)):
            found.append(_correct(estimate, counts))
    return found


def _labels(database: Database) -> dict[tuple[str, str, str], dict[str, tuple[int, int]]]:
    """Return good and all labels by verdict, of each judge, tier and service."""
    newest: dict[tuple[str, str, str], dict[str, sqlite3.Row]] = {}
    rows = sorted(database.rows(_LABELS), key=lambda row: row["newest"])
    versions = {(row["judge"], row["tier"], row["service"]): row["version"] for row in rows}
    for row in rows:
        key = row["judge"], row["tier"], row["service"]
        if row["version"] == versions[key]:
            newest.setdefault(key, {})[row["label"]] = row
    return {key: {label: (row["good"], row["labels"]) for label, row in of.items()} for key, of in newest.items()}


def _correct(estimate: Estimate, counts: Mapping[str, tuple[int, int]]) -> Corrected:
    decided = 1 - estimate.unsure_share
    passed = decided * (estimate.pass_rate or 0.0)
    shares = {"pass": passed, "unsure": estimate.unsure_share, "fail": decided - passed}
    mean, square, below, above, unknown = 0.0, 0.0, 0.0, 0.0, [0.0, 0.0]
    for verdict, share in shares.items():
        good, labels = counts.get(verdict, (0, 0))
        rate = good / labels if labels else _UNLABELLED[verdict]
        mean, square = mean + share * rate, square + share * rate**2
        if labels:
            low, high = _worth(rate, rate, labels).interval(estimate.confidence)
            below, above = below + (share * (rate - low)) ** 2, above + (share * (high - rate)) ** 2
        else:  # not chance, which may even out, but whatever it is
            unknown = [unknown[0] + share * rate, unknown[1] + share * (1 - rate)]
    mean = min(1.0, max(0.0, mean))
    low, high = _worth(mean, square, estimate.effective_samples).interval(estimate.confidence)
    return Corrected(
        of=estimate,
        labels=sum(labels for _, labels in counts.values()),
        pass_rate=mean,
        interval=(
            max(0.0, mean - unknown[0] - math.sqrt(below + (mean - low) ** 2)),
            min(1.0, mean + unknown[1] + math.sqrt(above + (high - mean) ** 2)),
        ),
    )


def _worth(mean: float, square: float, samples: float) -> Moments:
    """Return the moments of that many equally weighted values, by their mean and the mean of their squares."""
    first = samples * mean
    return Moments(
        weight=samples, squared_weight=samples, first=first, squared_first=first, squared_second=samples * square
    )
