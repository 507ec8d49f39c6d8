"""Draws the figures of the explanation, from the code that runs: `python docs/site/figures.py`.

docs/explanation/alert.svg      an alert's evidence beside a moving mean, before and after a fall
docs/explanation/intervals.svg  intervals at one look by the number of scores, for 90 % passes
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from qualitrace_monitors.alerts.watch import Watch
from qualitrace_monitors.estimate.interval import Moments

FOLDER = Path(__file__).parents[1] / "explanation"
THRESHOLD, ALPHA, HORIZON, WINDOW = 0.9, 0.05, 5_000, 50
BEFORE, FALLEN = 2_000, 400
"""Answers at 95 %, and then at 75 %."""
SEED = 4

mpl.rcParams |= {"svg.hashsalt": "qualitrace", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def draw_alert() -> None:
    """Draw one stream: who looks at a moving mean is alarmed for nothing, the evidence is not."""
    random = np.random.default_rng(SEED)
    passed = (random.random(BEFORE + FALLEN) < np.repeat([0.95, 0.75], [BEFORE, FALLEN])).astype(float)
    watch, evidence, fired = Watch(THRESHOLD, ALPHA), [], None
    for number, value in enumerate(passed):
        watch.take([value], 1.0, 1 / HORIZON, float(number))
        evidence.append(max(1e-3, float(watch.evidence[0])))
        if watch.firing[0]:
            fired = number
            break
    answers = np.arange(len(evidence))
    means = np.convolve(passed, np.ones(WINDOW) / WINDOW)[: len(evidence)]
    means[:WINDOW] = np.nan
    figure, (upper, lower) = plt.subplots(2, sharex=True, figsize=(8, 4.2), layout="constrained")
    upper.plot(answers, means, color="#b25e09", linewidth=0.8)
    upper.axhline(THRESHOLD, color="#b42c07", linestyle="--", linewidth=1)
    upper.set_ylabel(f"pass rate of\nthe last {WINDOW} answers")
    lower.semilogy(answers, evidence, color="#2459c4", linewidth=0.8)
    lower.axhline(1 / ALPHA, color="#b42c07", linestyle="--", linewidth=1)
    lower.set_ylabel("evidence\n(the alert fires at 20)")
    lower.set_xlabel("answers")
    for axes in (upper, lower):
        axes.axvline(BEFORE, color="#667085", linestyle=":", linewidth=1)
    if fired is not None:
        lower.annotate(
            f"fires after {fired - BEFORE} answers", (fired, 1 / ALPHA), (-130, -14), textcoords="offset points"
        )
    upper.annotate("falls from 95 % to 75 %", (BEFORE, 1.0), (-118, -2), textcoords="offset points")
    figure.savefig(FOLDER / "alert.svg", metadata={"Date": None})
    below = int(np.sum((means[WINDOW:BEFORE] < THRESHOLD) & ~(means[WINDOW - 1 : BEFORE - 1] < THRESHOLD)))
    print(f"alert.svg: the mean goes below {THRESHOLD} {below} times before the fall; the alert fires at {fired}")


def draw_intervals() -> None:
    """Draw the interval of a pass rate of 90 % by the number of scores, single ones and in sessions of ten."""
    counts = np.unique(np.geomspace(5, 5_000, 40).astype(int) // 10 * 10)[1:]
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    for label, color, size in (("single answers", "#2459c4", 1), ("sessions of ten alike answers", "#b25e09", 10)):
        bounds = np.array([_moments(count, size).interval(0.95) for count in counts])
        axes.fill_between(counts, bounds[:, 0], bounds[:, 1], color=color, alpha=0.25, linewidth=0, label=label)
    axes.axhline(0.9, color="#667085", linewidth=1)
    axes.set_xscale("log")
    axes.set_ylim(0, 1)
    axes.set_xlabel("scores, of which 90 % pass")
    axes.set_ylabel("95 % interval")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(FOLDER / "intervals.svg", metadata={"Date": None})


def _moments(count: int, size: int) -> Moments:
    """Return the sums over so many scores, in sessions of one verdict."""
    first = 0.9 * count
    return Moments(
        weight=count,
        squared_weight=count * size,
        first=first,
        squared_first=first * size,
        squared_second=first * size,
        heaviest=size,
    )


if __name__ == "__main__":
    draw_alert()
    draw_intervals()
