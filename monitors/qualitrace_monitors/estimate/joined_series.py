"""The joined estimate of a cascade in steps of equal length, for charts.

λ is that of the whole window, as in `joined`. What the local judge saw of a step moves the model's mean there. As in
`series`, a step's interval takes each of its pairs to be worth what one is worth in the window, and a step that is the
whole window has exactly the window's interval.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate import pairs
from qualitrace_monitors.estimate.interval import Moments, Worth
from qualitrace_monitors.estimate.joined import prediction
from qualitrace_monitors.estimate.series import Series, Share, step_rows
from qualitrace_monitors.estimate.sums import LINEAR

Columns = Mapping[str, NDArray[np.float64]]


def joined_series(
    database: Database,
    start: float,
    now: float,
    step: float,
    confidence: float,
    of: tuple[str, str],
    whole: Mapping[str, Moments],
) -> Series | None:
    """Estimate in steps from both judges; None where no step has scores of both.

    Args:
        start, now: Unix seconds; `start` is a multiple of `step`.
        step: one of `series.STEPS`.
        of: judge and service.
        whole: the joined estimate of `passed`, `not_failed` and `value` over the same time.
    """
    judge, service = of
    sums = pairs.sum_up(database, start, now, judge, service).get(of)
    both = pairs.steps(database, start, now, step, judge, service)
    rows = step_rows(database, start, now, step, judge, service)
    local, model = ({row["place"]: row for row in rows.get((judge, tier, service), ())} for tier in ("local", "llm"))
    places = [place for place in both if place in local and place in model]
    if sums is None or not places:
        return None
    of_pairs = {name: np.array([both[place][name] for place in places]) for name in sums}
    of_local, of_model = (
        {name: np.array([tier[place][name] for place in places], dtype=np.float64) for name in LINEAR}
        for tier in (local, model)
    )
    counts = of_pairs["samples"]
    passed, not_failed, value = (
        Share(_means(name, sums, of_pairs, of_local), counts, Worth.of(moments, sums["samples"]))
        for name, moments in whole.items()
    )
    unsure = np.clip((of_model["not_failed_1"] - of_model["passed_1"]) / of_model["w"], 0, 1)
    rates = passed.means / np.maximum(np.maximum(1 - unsure, passed.means), np.finfo(float).tiny)
    return Series(
        judge=judge,
        tier="joined",
        service=service,
        step=step,
        at=[place * step for place in places],
        samples=[round(count) for count in counts],
        sampling_rate=np.clip(of_model["samples"] / of_model["w"], 0, 1).tolist(),
        pass_rate=[
            rate if verdicts > 0.5 else None
            for rate, verdicts in zip(rates.tolist(), of_pairs["verdicts"], strict=True)
        ],
        mean_score=value.means.tolist(),
        unsure_share=unsure.tolist(),
        confidence=confidence,
        passed=passed,
        not_failed=not_failed,
        value=value,
    )


def _means(quantity: str, sums: pairs.Sums, of_pairs: Columns, of_local: Columns) -> NDArray[np.float64]:
    """Return the means of a quantity in each step."""
    predictor, power = prediction(sums, quantity)
    own, predicted = (of_pairs[pairs.column("w", name)] / of_pairs["w"] for name in (quantity, predictor))
    seen = of_local[f"{predictor.removeprefix('local_')}_1"] / of_local["w"]
    return np.clip(own + power * (seen - predicted), 0, 1)
