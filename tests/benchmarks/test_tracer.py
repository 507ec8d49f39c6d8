"""The benchmark of the tracer: a wrong count there would flatter every figure."""

import sys
from pathlib import Path

import pytest

from tracer.measure import Plan, Results, Spread, added, compare, ratios
from tracer.report import as_json

PYTHON = Path(sys.executable)


def results(untraced: list[float], reference: list[float], traced: list[float]) -> dict[str, Results]:
    costs = {"none": untraced, "otel": reference, "qualitrace": traced}
    return {name: Results(cost={"chat": values, "stream": values}) for name, values in costs.items()}


def test_what_is_added_is_compared_round_by_round() -> None:
    """Each round has its own baseline, since the machine changes from one to the next."""
    found = results([10.0, 20.0, 30.0], [14.0, 22.0, 38.0], [12.0, 23.0, 42.0])
    assert added(found, "qualitrace", "chat") == [2.0, 3.0, 12.0]
    assert ratios(found, "qualitrace", "chat") == [0.5, 1.5, 1.5]
    summary = as_json(found)["qualitrace"]["ratio_to_otel"]["chat"]
    assert summary == {"median": 1.5, "low": 1.0, "high": 1.5}


def test_a_single_round_has_no_spread() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


@pytest.mark.slow
def test_tracers_are_measured_at_work() -> None:
    """Real applications: traced ones send one span a call; all use CPU, start, and end with a dead collector."""
    plan = Plan(rounds=2, calls=40, starts=1, exits=1)
    found = compare({name: PYTHON for name in ("none", "otel", "qualitrace")}, plan)
    assert {name: result.spans_per_call for name, result in found.items()} == {"none": 0, "otel": 1, "qualitrace": 1}
    for result in found.values():
        for work in ("chat", "stream"):
            assert len(result.cost[work]) == 2
            assert min(result.cost[work]) > 0
        assert result.starts[0] >= 0
        assert [len(result.exits[state]) for state in ("dead", "hanging")] == [1, 1]
        assert result.rss_mib > 10
