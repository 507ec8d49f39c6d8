"""The gate of an evaluation."""

from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.evaluation.result import Gate

unit = st.floats(0, 1)


@given(unit, unit, unit)
def test_the_gate_closes_only_when_the_whole_interval_is_below(one: float, other: float, threshold: float):
    """A mean under the threshold is not enough."""
    lower, upper = sorted((one, other))
    gate = Gate(metric="m", quantity="mean", threshold=threshold, point=lower, interval=(lower, upper))
    assert (gate.verdict == "below") == (upper < threshold)
    assert (gate.verdict == "met") == (lower >= threshold)
