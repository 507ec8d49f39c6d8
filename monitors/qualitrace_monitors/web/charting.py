"""Charts over time, as `static/charts.js` draws them."""

from collections.abc import Iterable, Sequence
from typing import Any

from qualitrace_monitors.estimate.series import Ends
from qualitrace_monitors.web.period import Period

DIGITS = 4
"""Significant ones: a chart is some hundred pixels high."""

Values = Sequence[float | None] | Sequence[float] | Sequence[int]


def line(label: str, at: Sequence[float], values: Values, ends: Ends | None = None) -> dict[str, Any]:
    """Return a line of a chart: what there is at some times (Unix seconds), with the interval of each value."""
    found: dict[str, Any] = {"label": label, "at": at, "values": _rounded(values)}
    if ends is not None:
        found |= {"lower": _rounded(ends.lower), "upper": _rounded(ends.upper)}
    return found


def chart(period: Period, step: float, lines: Iterable[dict[str, Any]], unit: str, **more: Any) -> dict[str, Any]:
    """Return a chart that covers a period in steps, with gaps where there is nothing.

    Args:
        lines: made by `line`, with times that are multiples of `step`.
        more: `range`, `thresholds` and `marks`, see `static/charts.js`.
    """
    first, last = int(period.start // step), int(period.end // step)
    x = [round(place * step) for place in range(first, last + 1)]
    spread = [
        {
            name: value if name == "label" else _spread(value, each["at"], step, first, len(x))
            for name, value in each.items()
            if name != "at"
        }
        for each in lines
    ]
    return {"x": x, "series": spread, "unit": unit, **{name: value for name, value in more.items() if value}}


def _spread(values: Values, at: Sequence[float], step: float, first: int, length: int) -> list[float | None]:
    found: list[float | None] = [None] * length
    for moment, value in zip(at, values, strict=True):
        place = round(moment / step) - first
        if 0 <= place < length:
            found[place] = value
    return found


def _rounded(values: Values) -> list[float | None]:
    return [None if value is None else float(f"{value:.{DIGITS}g}") for value in values]
