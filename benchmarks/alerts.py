"""Counts false alarms, and measures how late a fall is noticed, beside ADWIN, Page–Hinkley and the naive rule.

    python benchmarks/alerts.py [--quick] [--streams N] [--scores N] [--table NAME ...]

Simulated streams of passes and fails go through the alerts' own `Watch`, a thousand at once, and a tenth as many
through the whole engine; the peers see the same streams. The period of the promise is `HORIZON` scores, the promise
5 %. The peers are those of river (`pip install river`); without it only the naive rule is beside ours.
"""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qualitrace_collector.state import Database
from qualitrace_monitors.alerts import new_scores
from qualitrace_monitors.alerts.engine import AlertEngine
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.alerts.watch import Watch
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.notify.payload import Links

Values = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], tuple[Values, Values]]

ALPHA = 0.05
HORIZON = 5_000
RATES = (0.80, 0.81, 0.82, 0.85, 0.90, 0.95)
PEER_STREAMS = 100  # of scalar detectors, which take a hundred times as long
LATEST = 2_000  # scores after a fall within which it must be noticed
SESSION = 20
ALWAYS_RATE = 0.01
DAY = 86_400.0


def passes(rate: float) -> Draw:
    """Draw single scores that pass at a rate."""
    return lambda random, streams, _: ((random.random(streams) < rate).astype(float), np.ones(streams))


def sessions(rate: float, correlation: float) -> Draw:
    """Draw means of sessions of twenty scores with an intra-class correlation (beta-binomial)."""
    spread = 1 / correlation - 1

    def draw(random: np.random.Generator, streams: int, _: int) -> tuple[Values, Values]:
        own = random.beta(rate * spread, (1 - rate) * spread, streams)
        return random.binomial(SESSION, own) / SESSION, np.ones(streams)

    return draw


def with_always_judged(rate: float) -> Draw:
    """Draw scores of which half the failed ones are errors, which are always judged; the others at 1 %."""
    errors, others = (1 - rate) / 2, 1 - (1 - rate) / 2
    judged = errors + others * ALWAYS_RATE

    def draw(random: np.random.Generator, streams: int, _: int) -> tuple[Values, Values]:
        is_error = random.random(streams) < errors / judged
        passed = random.random(streams) < rate / others
        return np.where(is_error, 0.0, passed), np.where(is_error, ALWAYS_RATE, 1.0)

    return draw


def first_firings(watch: Watch, draw: Draw, streams: int, scores: int, horizon: int, seed: int) -> Values:
    """Return after how many scores each stream fired first, infinity for never."""
    random, first = np.random.default_rng(seed), np.full(streams, np.inf)
    for number in range(scores):
        values, weights = draw(random, streams, number)
        watch.take(values, weights, 1 / horizon, float(number))
        first = np.where(watch.firing & np.isinf(first), number + 1, first)
    return first


def false_alarms(streams: int, horizon: int) -> Iterator[str]:
    """Yield the share of streams that fire within the horizon at steady rates, at a threshold of 0.8."""
    yield f"false alarms within {horizon:,} scores, threshold 0.80, {streams:,} streams (promise {ALPHA:.0%})"
    for rate in RATES:
        first = first_firings(Watch(0.8, ALPHA, streams), passes(rate), streams, horizon, horizon, 1)
        yield f"  rate {rate:.2f}: {np.isfinite(first).mean():.2%}"


def special_false_alarms(streams: int) -> Iterator[str]:
    """Yield the same at the threshold itself, for sessions and with errors that are always judged."""
    yield f"false alarms within {HORIZON:,} bets at a rate of 0.80, threshold 0.80, {streams:,} streams"
    draws = {f"sessions of {SESSION}, ICC {icc}": sessions(0.8, icc) for icc in (0.1, 0.3)}
    draws[f"errors always judged, others at {ALWAYS_RATE:.0%}"] = with_always_judged(0.8)
    for name, draw in draws.items():
        first = first_firings(Watch(0.8, ALPHA, streams), draw, streams, HORIZON, HORIZON, 2)
        yield f"  {name}: {np.isfinite(first).mean():.2%}"


def delays(streams: int) -> Iterator[str]:
    """Yield how many scores after a fall the alert fires."""
    yield f"scores after a fall, median / 90th percentile, missed within {LATEST:,}; {streams:,} streams"
    for threshold, before, after in ((0.8, 0.85, 0.7), (0.9, 0.95, 0.85), (0.8, 0.9, 0.0)):
        for reference in (0, 1_000, 2_000):
            found = _delays(Watch(threshold, ALPHA, streams, reference), before, after, streams, reference or 300)
            yield f"  {before:.2f} → {after:.2f}, threshold {threshold:.2f}, reference {reference:,}: {_shown(found)}"


def _delays(watch: Watch, before: float, after: float, streams: int, known: int) -> Values:
    fall = known + 200

    def draw(random: np.random.Generator, count: int, number: int) -> tuple[Values, Values]:
        return passes(before if number < fall else after)(random, count, number)

    first = first_firings(watch, draw, streams, fall + LATEST, HORIZON, 3)
    return first[first > fall] - fall


def _shown(found: Values) -> str:
    return f"{np.median(found):.0f} / {np.quantile(found, 0.9):.0f}, missed {np.isinf(found).mean():.1%}"


def flapping(streams: int) -> Iterator[str]:
    """Yield how often an alert fires at a rate of exactly the threshold, resolving in between."""
    watch, random = Watch(0.8, ALPHA, streams), np.random.default_rng(4)
    firings = 0
    for number in range(HORIZON):
        before = watch.firing
        values, weights = passes(0.8)(random, streams, number)
        watch.take(values, weights, 1 / HORIZON, float(number))
        firings += int((watch.firing & ~before).sum())
    yield f"firings per {HORIZON:,} scores at a rate of 0.80, threshold 0.80: {firings / streams:.3f}"


def restarts(streams: int) -> Iterator[str]:
    """Yield whether a watch that is stored and loaded again and again says the same."""
    straight, restarted = Watch(0.8, ALPHA, streams), Watch(0.8, ALPHA, streams)
    random, same = np.random.default_rng(5), True
    for number in range(2_000):
        if number % 250 == 125:
            state, restarted = restarted.dump(), Watch(0.8, ALPHA, streams)
            restarted.load(state)
        values, weights = passes(0.85 if number < 1_500 else 0.7)(random, streams, number)
        for watch in (straight, restarted):
            watch.take(values, weights, 1 / HORIZON, float(number))
        same = same and bool((straight.firing == restarted.firing).all())
    yield f"the same after eight restarts in the middle of {streams:,} streams: {same}"


def of_engine(services: int) -> Iterator[str]:
    """Yield what the engine finds, with its database, a simulated clock and restarts: half of the services fall."""
    rule = {"name": "low", "judge": "groundedness", "when": "pass_rate < 0.8", "false_alarms": f"{ALPHA:.0%} per 30d"}
    apart, fall, together = 30 * DAY / HORIZON, 2_000, 20
    random, fired = np.random.default_rng(7), np.full(services, np.inf)
    rates = np.where(np.arange(services) % 2, 0.85, 0.80)
    with TemporaryDirectory() as folder:
        for number in range(0, HORIZON, together):
            # Each look begins with what the database holds, as after a restart.
            with closing(Database(Path(folder, "state.db"))) as database:
                now = np.where((rates > 0.8) & (number >= fall), 0.70, rates)
                with database.transaction() as connection:
                    for later in range(number, number + together):
                        for service, passed in enumerate(random.random(services) < now):
                            new_scores.put(connection, _score(service, passed=bool(passed), at=later * apart))
                links = Links("http://127.0.0.1:9464")
                engine = AlertEngine([AlertRule.model_validate(rule)], database, Estimator(database), links)
                engine.evaluate((number + together) * apart)
                firing = [int(status.service) for _, status in engine.statuses() if status.state == "firing"]
            fired[firing] = np.minimum(fired[firing], number + together)
    late = fired[1::2][fired[1::2] > fall] - fall
    yield f"the engine, {services} services, threshold 0.80, looked at and restarted every {together} scores"
    yield f"  rate 0.80: {np.isfinite(fired[::2]).mean():.2%} fired; 0.85 → 0.70: {_shown(late)}"


def _score(service: int, *, passed: bool, at: float) -> ScoreRow:
    return ScoreRow(
        trace_id="", judge="groundedness", version="1", tier="local", service=str(service), model="",
        prompt_version="", value=float(passed), label="pass" if passed else "fail", rationale="",
        inclusion_probability=1.0, assessment_id="", tokens=0, cost_usd=None, completed_at=at, scored_at=at, weight=1.0,
    )  # fmt: skip


def speed(scores: int) -> Iterator[str]:
    """Yield the bets a second of one stream in one process: a score is a bet of each of the two detectors."""
    watch, random = Watch(0.8, ALPHA), np.random.default_rng(6)
    values = (random.random(scores) < 0.9).astype(float).tolist()
    for number, value in enumerate(values[:1_500]):
        watch.take(value, 1.0, 1e-6, float(number))
    began = time.process_time()
    for number, value in enumerate(values):
        watch.take(value, 1.0, 1e-6, float(number))
    seconds = time.process_time() - began
    yield f"one stream of {scores:,} scores: {2 * scores / seconds:,.0f} bets per CPU second, readings finite: " + str(
        bool(np.isfinite(watch.reference.mean).all())
    )


class _Naive:
    """What monitoring tools do: the mean of the last fifty scores below 0.75."""

    def __init__(self) -> None:
        self._last: list[float] = []
        self.drift_detected = False

    def update(self, value: float) -> None:
        self._last = [*self._last[-49:], value]
        self.drift_detected = len(self._last) == 50 and sum(self._last) < 0.75 * 50


def peers() -> Iterator[str]:
    """Yield false alarms and delays of other detectors, at the rates of the first two tables."""
    made: dict[str, Callable[[], Any]] = {"mean of the last 50 < 0.75": _Naive}
    if importlib.util.find_spec("river"):
        drift = importlib.import_module("river.drift")
        made["ADWIN, delta 0.002"] = lambda: drift.ADWIN(delta=0.002)
        made["Page–Hinkley, threshold 50"] = lambda: drift.PageHinkley(threshold=50, mode="down")
    else:
        yield "river is not installed: pip install river"
    yield f"peers, {PEER_STREAMS} streams: false alarms within {HORIZON:,} at 0.85; scores after 0.85 → 0.70"
    for name, make in made.items():
        alarms = [_peer_fires(make(), 0.85, 0.85, HORIZON, seed) for seed in range(PEER_STREAMS)]
        late = [_peer_fires(make(), 0.85, 0.70, 1_000, seed) for seed in range(PEER_STREAMS)]
        found = np.asarray([at - 1_000 for at in late if at > 1_000], dtype=np.float64)
        shown = _shown(found) if len(found) else "none: all fired before the fall"
        yield f"  {name}: {np.isfinite(alarms).mean():.1%}; {shown} (of {len(found)})"


def _peer_fires(detector: Any, before: float, after: float, fall: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    for number in range(fall if before == after else fall + LATEST):
        detector.update(float(random.random() < (before if number < fall else after)))
        if detector.drift_detected:
            return number + 1
    return float("inf")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks/alerts.py")
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the streams, and no long ones")
    parser.add_argument("--scores", type=int, default=1_000_000, help="of the one stream of the table `speed`")
    parser.add_argument("--table", action="append", help="only these")
    arguments = parser.parse_args()
    streams = max(1, arguments.streams // 10) if arguments.quick else arguments.streams
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "false-alarms": lambda: false_alarms(streams, HORIZON),
        "long": lambda: false_alarms(streams, 10 * HORIZON),
        "special": lambda: special_false_alarms(streams),
        "delays": lambda: delays(streams),
        "flapping": lambda: flapping(streams),
        "engine": lambda: of_engine(max(10, streams // 10)),
        "restarts": lambda: restarts(streams),
        "speed": lambda: speed(10_000 if arguments.quick else arguments.scores),
        "peers": peers,
    }
    for name, table in tables.items():
        if (arguments.table and name not in arguments.table) or (arguments.quick and name == "long"):
            continue
        for line in table():
            print(line, flush=True)


if __name__ == "__main__":
    main()
