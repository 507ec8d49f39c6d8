"""Counts how often the intervals of estimates cover the truth, over simulated streams.

    python benchmarks/intervals.py [--streams N] [--table NAME ...]

Sessions have twenty passes and fails with an intra-class correlation; unequal scores weigh 1 or 50, of which each kind
passes at a rate of its own; sequences are looked at after every score, or session, up to 2,000.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from qualitrace_monitors.estimate.interval import Moments
from qualitrace_monitors.estimate.sequence import log_evidence

Values = NDArray[np.float64]

CONFIDENCE = 0.95
SESSION = 20
HEAVY = 50.0
LOOKS = 2_000


def moments(passed: Values, weights: Values, session: int, heaviest: float) -> Moments:
    """Sum up a stream, of which `session` scores in a row are a session each."""
    w, wy = ((weights * factor).reshape(-1, session).sum(axis=1) for factor in (np.ones(len(passed)), passed))
    return Moments(
        weight=float(w.sum()),
        squared_weight=float((w * w).sum()),
        first=float(wy.sum()),
        squared_first=float((w * wy).sum()),
        squared_second=float((wy * wy).sum()),
        heaviest=heaviest,
    )


def coverage(draw: Callable[[np.random.Generator], Moments], rate: float, streams: int) -> tuple[float, float]:
    """Return the share of streams whose interval covers the rate, and the median width."""
    random, ends = np.random.default_rng(1), np.zeros((streams, 2))
    for number in range(streams):
        ends[number] = draw(random).interval(CONFIDENCE)
    return float(((ends[:, 0] <= rate) & (rate <= ends[:, 1])).mean()), float(np.median(ends[:, 1] - ends[:, 0]))


def own_rates(random: np.random.Generator, rate: float, correlation: float, size: int) -> Values:
    """Draw the rates of sessions."""
    spread = 1 / correlation - 1 if correlation else np.inf
    return random.beta(rate * spread, (1 - rate) * spread, size) if correlation else np.full(size, rate)


def of_sessions(streams: int) -> Iterator[str]:
    """Yield the coverage for sessions."""
    for correlation in (0.0, 0.1, 0.3):
        for rate in (0.85, 0.95):
            for sessions in (5, 10, 50, 250):

                def draw(
                    random: np.random.Generator,
                    rate: float = rate,
                    correlation: float = correlation,
                    sessions: int = sessions,
                ) -> Moments:
                    own = np.repeat(own_rates(random, rate, correlation, sessions), SESSION)
                    passed = (random.random(len(own)) < own).astype(float)
                    return moments(passed, np.ones(len(own)), SESSION, 1.0)

                covered, width = coverage(draw, rate, streams)
                setting = f"correlation {correlation}, rate {rate}, {sessions:3} sessions"
                yield f"  {setting}: {covered:.1%}, width {width:.3f}"


def of_weights(streams: int) -> Iterator[str]:
    """Yield the coverage for few scores of unequal weight."""
    for share in (0.05, 0.1, 0.3, 0.5):
        for heavy, light in ((0.85, 0.85), (0.95, 0.5), (0.5, 0.95), (0.9, 0.0)):
            rate = (share * HEAVY * heavy + (1 - share) * light) / (share * HEAVY + 1 - share)
            for count in (5, 10, 20, 50):

                def draw(
                    random: np.random.Generator,
                    share: float = share,
                    heavy: float = heavy,
                    light: float = light,
                    count: int = count,
                ) -> Moments:
                    is_heavy = random.random(count) < share
                    passed = (random.random(count) < np.where(is_heavy, heavy, light)).astype(float)
                    return moments(passed, np.where(is_heavy, HEAVY, 1.0), 1, HEAVY)

                covered, width = coverage(draw, rate, streams)
                setting = f"{share:.0%} heavy, rates {heavy} and {light}, {count:2} scores"
                yield f"  {setting}: {covered:.1%}, width {width:.2f}"


def of_sequences(streams: int) -> Iterator[str]:
    """Yield the share of streams that confidence sequences cover at every look."""
    limit = np.log(2 / (1 - CONFIDENCE))
    for name, correlation, relative in (
        ("single", 0.0, (1.0,)),
        ("weighted", 0.0, (1.0, 0.02)),
        ("sessions", 0.3, (1.0,)),
    ):
        for rate in (0.5, 0.85, 0.95, 0.99):
            random, missed = np.random.default_rng(1), np.zeros(streams, dtype=np.bool_)
            weight, total = np.zeros(streams), np.zeros(streams)
            for _ in range(LOOKS):
                r = random.choice(relative, streams)
                size = SESSION if correlation else 1
                weight += r
                total += r * random.binomial(size, own_rates(random, rate, correlation, streams)) / size
                missed |= log_evidence(rate, weight, total) >= limit
            yield f"  {name}, rate {rate}: {1 - missed.mean():.1%} at every look"


TABLES = {"sessions": of_sessions, "weights": of_weights, "sequences": of_sequences}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How often intervals cover the truth.")
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--table", choices=TABLES, nargs="*", default=list(TABLES))
    arguments = parser.parse_args()
    for name in arguments.table:
        print(f"{name}: coverage of 95 % intervals, {arguments.streams:,} streams", flush=True)
        for line in TABLES[name](arguments.streams):
            print(line, flush=True)


if __name__ == "__main__":
    main()
