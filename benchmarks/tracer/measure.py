"""All tracers in turns, so that whatever else the machine does meets all of them."""

import random
import socket
import statistics
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click

from fake_provider import provider
from tracer.counting import CountedApplication
from tracer.peers import BASELINE, PEERS, REFERENCE, Peer
from tracer.running import WORK, Application, ApplicationError
from tracer.sink import sink

T = TypeVar("T")

STATES = ("dead", "hanging")  # of the collector
WARM_UP_CALLS = 50
QUEUED = 100
LONGEST_EXIT = 60.0


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: turns of calls that each tracer gets.
        calls: whole answers in a turn; of streams, which take longer, a quarter.
        starts: processes of each tracer that are started to time that.
        exits: processes of each tracer that end with a dead collector, and as many with a hanging one.
    """

    rounds: int
    calls: int
    starts: int
    exits: int


QUICK = Plan(rounds=3, calls=40, starts=1, exits=1)
# Enough where calls cost the same each time, and take fifty times as long.
COUNTED_CALLS = 40


@dataclass
class Results:
    """What was measured of one tracer.

    Attributes:
        cost: by work, of one call in each round: seconds of CPU, or instructions.
        starts: seconds of CPU to import and start it.
        exits: by the state of the collector, seconds from the end of the program to the end of its process.
        rss_mib: resident memory after all calls.
        spans_per_call: that the collector got.
    """

    version: str = ""
    cost: dict[str, list[float]] = field(default_factory=lambda: {work: [] for work in WORK})
    starts: list[float] = field(default_factory=list[float])
    exits: dict[str, list[float]] = field(default_factory=lambda: {state: [] for state in STATES})
    rss_mib: float = 0.0
    spans_per_call: float = 0.0


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return those of some values."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def added(results: Mapping[str, Results], name: str, work: str) -> list[float]:
    """Return what a tracer added to the cost of a call, by round."""
    pairs = zip(results[name].cost[work], results[BASELINE].cost[work], strict=True)
    return [traced - untraced for traced, untraced in pairs]


def ratios(results: Mapping[str, Results], name: str, work: str) -> list[float]:
    """Return what a tracer added, over what OpenTelemetry alone did, by round."""
    pairs = zip(added(results, name, work), added(results, REFERENCE, work), strict=True)
    return [ours / theirs for ours, theirs in pairs]


def count(pythons: Mapping[str, Path], plan: Plan) -> dict[str, Results]:
    """Count the instructions of calls with the tracers of these environments, and nothing else; as `compare`."""
    results = {name: Results() for name in pythons}
    with provider(0) as llm:
        _measure_calls(pythons, plan, llm, results, CountedApplication)
    return {name: result for name, result in results.items() if result.version}


def compare(pythons: Mapping[str, Path], plan: Plan) -> dict[str, Results]:
    """Measure the tracers of these environments; without one that fails, the others go on.

    Args:
        pythons: the interpreter for each tracer; the baseline and the reference are among them.
        plan: how much to measure.
    """
    results = {name: Results() for name in pythons}
    with provider(0) as llm:
        _measure_calls(pythons, plan, llm, results, Application)
        _measure_starts(pythons, plan, llm, results)
        _measure_exits(pythons, plan, llm, results)
    return {name: result for name, result in results.items() if result.version}


def _measure_calls(
    pythons: Mapping[str, Path],
    plan: Plan,
    llm: str,
    results: Mapping[str, Results],
    runs: Callable[[Peer, Path, str, str], Application],
) -> None:
    with sink(list(pythons)) as collector, ExitStack() as stack:
        applications: list[Application] = []
        for name, python in pythons.items():
            with _report_and_go_on():
                application = stack.enter_context(runs(PEERS[name], python, llm, collector.endpoints[name]))
                application.warm_up(WARM_UP_CALLS)
                results[name].version = application.version
                applications.append(application)
        for number, order in enumerate(_orders(applications, plan.rounds)):
            for work, calls in (("chat", plan.calls), ("stream", plan.calls // 4)):
                for application in order:
                    cost = application.work(work, calls, flush=True)
                    results[application.peer.name].cost[work].append(cost / calls)
            click.echo(f"round {number + 1} of {plan.rounds}", err=True)
        for application in applications:
            result = results[application.peer.name]
            result.rss_mib = application.rss_mib()
            result.spans_per_call = collector.spans(application.peer.name) / application.calls


def _measure_starts(pythons: Mapping[str, Path], plan: Plan, llm: str, results: Mapping[str, Results]) -> None:
    with _dead() as nowhere:
        for order in _orders(_working(pythons, results), plan.starts):
            for name in order:
                with Application(PEERS[name], pythons[name], llm, nowhere) as application:
                    results[name].starts.append(application.start_cpu)


def _measure_exits(pythons: Mapping[str, Path], plan: Plan, llm: str, results: Mapping[str, Results]) -> None:
    for state, collector in zip(STATES, (_dead, _hanging), strict=True):
        for order in _orders(_working(pythons, results), plan.exits):
            with collector() as endpoint, ExitStack() as stack, ThreadPoolExecutor(len(order)) as pool:
                applications = [
                    stack.enter_context(Application(PEERS[name], pythons[name], llm, endpoint)) for name in order
                ]
                ends = dict[str, Future[float]]()
                for application in applications:  # one works, while those that have done so wait for the collector
                    application.work("chat", QUEUED, flush=False)
                    ends[application.peer.name] = pool.submit(application.seconds_to_end, LONGEST_EXIT)
                for name, end in ends.items():
                    results[name].exits[state].append(end.result())
        click.echo(f"exit with a {state} collector: done", err=True)


def _working(pythons: Mapping[str, Path], results: Mapping[str, Results]) -> list[str]:
    return [name for name in pythons if results[name].version]


def _orders(items: Iterable[T], rounds: int) -> Generator[list[T]]:
    """Yield the items in a new order for each round; the same orders in each run."""
    shuffled, chance = list(items), random.Random(0)
    for _ in range(rounds):
        chance.shuffle(shuffled)
        yield list(shuffled)


@contextmanager
def _dead() -> Generator[str]:
    """Yield an address that refuses connections: the port is bound, but nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def _hanging() -> Generator[str]:
    """Yield an address that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _report_and_go_on() -> Generator[None]:
    try:
        yield
    except ApplicationError as error:
        click.echo(f"Error: {error}", err=True)
