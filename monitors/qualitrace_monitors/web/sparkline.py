"""A small chart of a pass rate over a day, as paths of an SVG: no script draws it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from qualitrace_monitors.overview.trends import Trend

WIDTH, HEIGHT = 168, 36
"""Units of the SVG; a day is as wide, and rates from 0 to 1 are as high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """What is drawn.

    Attributes:
        band, line: paths: the interval of each step, and the rates. Steps without scores are gaps.
        threshold: its height from above; None without one.
        text: the same in words.
    """

    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT

    band: str
    line: str
    threshold: float | None
    text: str

    @classmethod
    def of(cls, trend: Trend, threshold: float | None, now: float) -> Self:
        """Draw a trend that ends at `now` (Unix seconds)."""
        width = WIDTH * trend.step / trend.window
        # The last step is not over: its point is at the right edge.
        ends = [(x, x + width) for at in trend.at for x in [WIDTH - WIDTH * (now - at) / trend.window]]
        band = "".join(
            f"M{max(0.0, x):.1f} {_y(upper):.1f}H{min(WIDTH, end):.1f}V{_y(lower):.1f}H{max(0.0, x):.1f}z"
            for (x, end), lower, upper in zip(ends, trend.lower, trend.upper, strict=True)
        )
        points = [
            (min(WIDTH - 1.0, max(1.0, (x + end) / 2)), _y(rate), at)
            for (x, end), rate, at in zip(ends, trend.rates, trend.at, strict=True)
            if rate is not None
        ]
        line = "".join(f"M{x:.1f} {y:.1f}h0" for x, y, _ in points[:1])
        for (_, _, before), (x, y, at) in pairwise(points):
            line += f"L{x:.1f} {y:.1f}" if at - before < 1.5 * trend.step else f"M{x:.1f} {y:.1f}h0"
        rates = [rate for rate in trend.rates if rate is not None]
        words = f"from {rates[0]:.0%} to {rates[-1]:.0%}, lowest {min(rates):.0%}" if rates else "no verdict"
        line_text = "" if threshold is None else f", threshold {threshold:g}"
        return cls(
            band=band,
            line=line,
            threshold=None if threshold is None else _y(threshold),
            text=f"pass rate by the hour over a day: {words}{line_text}",
        )


def _y(rate: float) -> float:
    return 1 + (HEIGHT - 2) * (1 - rate)
