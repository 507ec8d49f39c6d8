"""Measures what a cascade's joined estimate and joined alerts are worth, in calls of the model.

    python benchmarks/joined.py [--quick] [--streams N] [--data ROWS.jsonl ...] [--table NAME ...]

Simulated verdicts correlate as asked. With `--data` (rows of `qualitrace judge`, with a metric and a label each) the
local judge's scores are its own, the label stands for the model's verdict, and streams are drawn from the rows.
Estimates are the project's own (`join`), and alerts its own `Watch`. The model sees a tenth of the traces.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qualitrace_monitors.alerts.joined_scores import CLIPPED
from qualitrace_monitors.alerts.watch import Watch
from qualitrace_monitors.estimate.interval import Moments
from qualitrace_monitors.estimate.joined import join
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.settings import JudgeConfig
from qualitrace_monitors.rows.score import judge_lines

Values = NDArray[np.float64]

AUDITED = 0.1
ALPHA, HORIZON = 0.05, 5_000
CORRELATIONS = (0.0, 0.5, 0.8, 0.95)
WARM, LATEST = 500, 6_000
"""Traces before a fall, and after it."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where verdicts come from: local ones of answers that the model passes, and of those that it fails."""

    name: str
    passed: NDArray[np.float64]  # rows of value, local label passes
    failed: NDArray[np.float64]
    correlation: float

    def draw(self, random: np.random.Generator, rate: float, count: int) -> tuple[Values, Values, Values]:
        """Draw the model's verdicts, the local values, and the local verdicts, at a rate of passes."""
        model = (random.random(count) < rate).astype(float)
        pick = random.random(count)
        local = np.where(
            model[:, None] > 0,
            self.passed[(pick * len(self.passed)).astype(int)],
            self.failed[(pick * len(self.failed)).astype(int)],
        )
        return model, local[:, 0], local[:, 1]

    def guess(self, values: Values, rate: float) -> Values:
        """Return how likely the model passes, by the tenth that a local value is in, at a rate of passes."""
        bins = [np.bincount(np.minimum(9, (10 * of[:, 0]).astype(int)), minlength=10) / len(of)
                for of in (self.passed, self.failed)]  # fmt: skip
        passing, failing = rate * bins[0], (1 - rate) * bins[1]
        known = np.where(passing + failing > 0, passing / np.maximum(passing + failing, 1e-12), rate)
        return known[np.minimum(9, (10 * values).astype(int))]


def simulated(correlation: float, rate: float) -> Source:
    """Make verdicts of both judges that pass at the same rate and correlate."""
    agrees = [correlation + (1 - correlation) * share for share in (rate, 1 - rate)]
    passed, failed = (np.zeros((10_000, 2)) for _ in range(2))
    passed[: round(10_000 * agrees[0])] = 1.0
    failed[round(10_000 * agrees[1]) :] = 1.0
    return Source(f"correlation {correlation:.2f}", passed, failed, correlation)


def judged(path: Path) -> Source:
    """Let the local judge score labelled rows."""
    lines = path.read_text().splitlines()
    metric = json.loads(lines[0])["metric"]
    judged_lines = judge_lines(build_judge(JudgeConfig(name=metric)), metric, lines)
    scored = [(score, each.row["label"]) for each in judged_lines if (score := each.judgement.score)]
    found = np.asarray([(score.value, score.label == "pass") for score, _ in scored], dtype=float)
    good = np.asarray([label for _, label in scored]) == 1
    correlation = float(np.corrcoef(found[:, 0], good)[0, 1])
    return Source(path.stem, found[good], found[~good], correlation)


def sums_of(model: Values, value: Values, verdict: Values, asked: NDArray[np.bool_]) -> dict[str, float]:
    """Return the sums that `estimate.pairs` keeps of a quantity that is 0 or 1, for traces picked at one rate."""
    y, x, p, w = model[asked], value[asked], verdict[asked], 1 / AUDITED
    products = {
        "": np.ones_like(y), "_passed": y, "_local_value": x, "_local_passed": p, "_local_value_local_value": x * x,
        "_passed_local_value": y * x, "_passed_local_passed": y * p,
    }  # fmt: skip
    parts = {"w": w, "a": (1 - AUDITED) * w * w, "b": AUDITED * w * w}
    return {part + name: factor * float(of.sum()) for part, factor in parts.items() for name, of in products.items()}


def estimates(source: Source, rate: float, traces: int, streams: int) -> str:
    """Return a line: the share of the calls for the same interval, the gain in variance, the coverage."""
    random, widths, errors, held = np.random.default_rng(1), np.zeros(2), np.zeros(2), np.zeros(2)
    counted = 0
    for _ in range(streams):
        model, value, verdict = source.draw(random, rate, traces)
        asked = random.random(traces) < AUDITED
        if not asked.any():
            continue
        counted += 1
        means = {"local_value": float(value.mean()), "local_passed": float(verdict.mean())}
        joined = join(sums_of(model, value, verdict, asked), "passed", means)
        for place, moments in enumerate((joined, Moments.of(model[asked].tolist()))):
            low, high = moments.interval(0.95)
            widths[place] += high - low
            errors[place] += (moments.mean - rate) ** 2
            held[place] += low <= rate <= high
    calls, gain = (widths[0] / widths[1]) ** 2, errors[1] / errors[0]
    return (
        f"  {source.name:18} rate {rate:.2f}, {traces:5,} traces: calls for the same interval {calls:4.0%}, "
        f"variance 1/{gain:.2f}, coverage {held[0] / counted:.1%} (model alone {held[1] / counted:.1%})"
    )


def simulated_estimates(streams: int) -> Iterator[str]:
    """Yield the estimates at each correlation."""
    yield f"joined estimates, {AUDITED:.0%} of the traces seen by the model, {streams:,} streams"
    for rate in (0.95, 0.9, 0.7):
        for correlation in CORRELATIONS:
            for traces in (60, 300, 1_000, 3_000):
                yield estimates(simulated(correlation, rate), rate, traces, streams)


def data_estimates(sources: Sequence[Source], streams: int) -> Iterator[str]:
    """Yield the estimates on labelled rows, at their own rate of good answers and at 95 %."""
    yield f"joined estimates on labelled rows, {streams:,} streams"
    for source in sources:
        own = len(source.passed) / (len(source.passed) + len(source.failed))
        yield f"  {source.name}: correlation of local value and label {source.correlation:.2f}"
        yield from (estimates(source, rate, 3_000, streams) for rate in (own, 0.95))


def firings(source: Source, before: float, after: float, threshold: float, streams: int, alone: bool) -> Values:
    """Return after how many traces each stream fires, infinity for never: joined, or by the model's scores alone."""
    reach = 1 / AUDITED
    bounds = {} if alone else {"least": 1 - reach, "most": CLIPPED + (1 - CLIPPED) * reach}
    watch = Watch(threshold, ALPHA, streams, 0, **bounds)
    random, fired = np.random.default_rng(2), np.full(streams, np.inf)
    for number in range(HORIZON if before == after else WARM + LATEST):
        rate = before if number < WARM else after
        model, value, _ = source.draw(random, rate, streams)
        asked = random.random(streams) < AUDITED
        if alone:
            # All streams take a value at once: one that was not asked about bets nothing.
            watch.take(model, np.where(asked, 1.0, 1e-12), 1 / HORIZON, float(number))
        else:
            guess = source.guess(value, before)
            high, low = (
                each + asked * reach * (model - each)
                for each in (np.maximum(guess, CLIPPED), np.minimum(guess, 1 - CLIPPED))
            )
            watch.take(high, 1.0, 1 / HORIZON, float(number), low)
        fired = np.where(watch.firing & np.isinf(fired), number + 1.0, fired)
        if number > WARM and np.isfinite(fired).mean() > 0.6 and before != after:
            break  # the median is known
    return fired


def alerts(sources: Sequence[Source], streams: int) -> Iterator[str]:
    """Yield how late a fall is noticed at as many calls, and how often an alert is false at the threshold."""
    yield f"traces after 0.90 → 0.70 until half of the streams fire, threshold 0.85, {streams:,} streams"
    for source in sources:
        late = [
            float(np.median(found[found > WARM])) - WARM
            for found in (firings(source, 0.9, 0.7, 0.85, streams, alone) for alone in (False, True))
        ]
        false = firings(source, 0.85, 0.85, 0.85, streams, False)
        yield (
            f"  {source.name:18}: joined {late[0]:5.0f}, model alone {late[1]:5.0f}; at the threshold false alarms "
            f"within {HORIZON:,} traces {np.isfinite(false).mean():.1%} (promise {ALPHA:.0%})"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks/joined.py")
    parser.add_argument("--streams", type=int, default=2_000, help="of estimates; of alerts half as many")
    parser.add_argument("--quick", action="store_true", help="a tenth of the streams")
    parser.add_argument("--data", nargs="*", type=Path, default=[], help="labelled rows, a file a metric")
    parser.add_argument("--table", action="append", help="only these")
    arguments = parser.parse_args()
    streams = arguments.streams // 10 if arguments.quick else arguments.streams
    sources = [judged(path) for path in arguments.data]
    made = [simulated(correlation, 0.9) for correlation in CORRELATIONS]
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "estimates": lambda: simulated_estimates(streams),
        "data": lambda: data_estimates(sources, streams),
        "alerts": lambda: alerts([*made, *sources], streams // 2),
    }
    for name, table in tables.items():
        if not arguments.table or name in arguments.table:
            for line in table():
                print(line, flush=True)


if __name__ == "__main__":
    main()
