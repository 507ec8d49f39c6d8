"""Compares a run with an earlier one, row by row.

The test of a paired difference is the sign-flip permutation test (scipy.stats.permutation_test with
permutation_type="samples").
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlflow
import numpy as np
from mlflow.artifacts import load_text
from mlflow.exceptions import MlflowException
from scipy.stats import permutation_test

from qualitrace_collector.masking import masked
from qualitrace_monitors.estimate.interval import Interval, Moments
from qualitrace_monitors.evaluation.dataset import DataError
from qualitrace_monitors.evaluation.summary import MetricSummary

VERSION_TAG = "qualitrace.judge."  # prefix of a run's tags with the versions of its judges
SCORES = "qualitrace/scores.json"  # artifact with every score of every row: what a later run is compared with
SEED = 0  # of the permutations, so that a run gives the same when it is repeated
BATCH = 100  # permutations held in memory at once; all those of 5,000 rows take 3 GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A metric beside the same rows of an earlier run.

    Attributes:
        pairs: rows that both runs scored.
        difference: mean of (this run's value - the earlier one's), with its interval; None without pairs.
        p_value: two-sided, of no difference.
        reason: why there is nothing to compare, else empty.
    """

    metric: str
    pairs: int = 0
    difference: float | None = None
    interval: Interval = (-1.0, 1.0)
    p_value: float | None = None
    reason: str = ""


def compare(metric: str, now: Mapping[str, float], before: Mapping[str, float], confidence: float) -> Comparison:
    """Compare the values of two runs by row key; each between 0 and 1."""
    keys = [key for key in now if key in before]
    if not keys:
        return Comparison(metric=metric, reason="no row was scored in both runs")
    differences = np.array([now[key] - before[key] for key in keys])
    moments = Moments.of([float(value) for value in (differences + 1) / 2])  # -1 … 1 brought to 0 … 1
    lower, upper = moments.interval(confidence)
    return Comparison(
        metric=metric,
        pairs=len(keys),
        difference=float(differences.mean()),
        interval=(2 * lower - 1, 2 * upper - 1),
        p_value=_p_value(differences),
    )


def _p_value(differences: Any) -> float:
    if not differences.any():
        return 1.0
    test = permutation_test(
        (differences,), np.mean, permutation_type="samples", batch=BATCH, rng=np.random.default_rng(SEED)
    )
    return float(test.pvalue)


class EarlierRun:
    """An earlier run's scores by row, and the versions of its judges.

    Raises:
        DataError: there is no such run, or it is none of `evaluate`.
    """

    def __init__(self, run_id: str) -> None:
        try:
            self._tags = mlflow.get_run(run_id).data.tags
            self._rows = json.loads(load_text(f"runs:/{run_id}/{SCORES}"))["rows"]
        except (MlflowException, OSError) as error:
            reason = masked(str(error))
            raise DataError(f"`baseline` {run_id}: no evaluation by qualitrace that MLflow knows: {reason}") from error

    def compare(self, summary: MetricSummary, values: Mapping[str, float], confidence: float) -> Comparison:
        """Compare the values of a metric by row key, if the same version of the judge scored both.

        Two versions have no common scale.
        """
        name = summary.metric
        version = self._tags.get(f"{VERSION_TAG}{name}")
        if version is None:
            return Comparison(metric=name, reason="not in the earlier run")
        if version != summary.version:
            return Comparison(metric=name, reason=f"judge changed ({version} then, {summary.version} now)")
        before = {row["row"]: row["scores"][name]["value"] for row in self._rows if name in row["scores"]}
        return compare(name, values, before, confidence)
