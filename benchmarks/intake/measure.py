"""All servers under all loads, each from the first request until every trace is stored.

They come in turns, so that what else the machine does meets all of them.
"""

import itertools
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import psutil

from intake.load import LoadError, LoadResult, run_load
from intake.servers import TARGETS, Server, ServerError, running
from intake.traces import Template, templates

# Load ends early at this many traces for each of its seconds: what is acked must be stored, or held, in bounded time.
MAX_STORED_PER_SECOND = 2_000
MAX_JOURNALED_PER_SECOND = 10_000
WARM_UP_TRACES = 64
STORE_SECONDS = 600.0
SAMPLE_SECONDS = 0.25
MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A load: `traces` in each request, over `connections`."""

    traces: int
    connections: int


CONNECTIONS = (1, 4, 16)
QUICK_SHAPES = [Shape(traces=1, connections=16)]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What was measured.

    Attributes:
        acked: traces in requests answered 200.
        stored_per_second: traces in MLflow's database, over the time from the first request until all are there;
            None if the server stores none.
        missing: acked traces that were not in the database ten minutes after the load.
        cpu_per_1000: CPU seconds of all the server's processes for 1,000 traces, until all are stored.
        rss_mib: peak of their resident memory together; pages that they share count for each.
        generator_share: share of one core that making the load took.
    """

    target: str
    shape: Shape
    requests: int
    acked: int
    acked_per_second: float
    p50_ms: float
    p99_ms: float
    stored_per_second: float | None
    missing: int
    cpu_per_1000: float
    rss_mib: float
    generator_share: float
    failures: dict[str, int]

    @property
    def valid(self) -> bool:
        """Whether every request was acked and every acked trace stored."""
        return not self.failures and not self.missing and self.acked > 0


@dataclass
class Usage:
    """What a process tree used while it was watched: CPU seconds, and the peak of its resident bytes."""

    cpu_seconds: float = 0.0
    peak_rss: int = 0


def measure(target: str, server: Server, shape: Shape, seconds: float) -> Cell:
    """Put `shape` on the server for `seconds`, or until the most traces for that time are sent.

    Raises:
        LoadError: the server stopped answering.
        ServerError: one of its processes ended.
    """
    most = MAX_STORED_PER_SECOND if server.database else MAX_JOURNALED_PER_SECOND
    next_body = _bodies(templates(shape.traces), int(seconds * most))
    before = server.stored() if server.database else 0
    with _watch(server) as usage:
        started, own = time.perf_counter(), time.process_time()
        load = run_load(server.address, next_body, connections=shape.connections, seconds=seconds)
        own = time.process_time() - own
        acked = len(load.latencies) * shape.traces
        missing = _wait_until_stored(server, before + acked) if server.database else 0
        took = time.perf_counter() - started
    return Cell(
        target=target,
        shape=shape,
        requests=len(load.latencies),
        acked=acked,
        acked_per_second=acked / load.seconds,
        p50_ms=_percentile_ms(load, 50),
        p99_ms=_percentile_ms(load, 99),
        stored_per_second=(acked - missing) / took if server.database else None,
        missing=missing,
        cpu_per_1000=usage.cpu_seconds / max(acked, 1) * 1_000,
        rss_mib=usage.peak_rss / MEBIBYTE,
        generator_share=own / load.seconds,
        failures=dict(load.failures),
    )


def warm_up(server: Server) -> None:
    """Let every worker of the server take its first requests, and wait until they are stored.

    Raises:
        LoadError: the server stopped answering.
        ServerError: it refused or lost one.
    """
    load = run_load(server.address, _bodies(templates(1), WARM_UP_TRACES), connections=16, seconds=60)
    missing = _wait_until_stored(server, WARM_UP_TRACES) if server.database else 0
    if load.failures or missing:
        raise server.error(f"warm-up: {missing} traces are not stored, answers: {dict(load.failures)}")


def _bodies(choice: list[Template], traces: int) -> Callable[[], bytes | None]:
    """Return a source of fresh requests that ends after `traces` traces."""
    requests = itertools.islice(itertools.cycle(choice), -(-traces // choice[0].traces))

    def next_body() -> bytes | None:
        template = next(requests, None)
        return template.fresh() if template else None

    return next_body


def _wait_until_stored(server: Server, wanted: int) -> int:
    """Return how many traces are still missing: none, but for the deadline."""
    deadline = time.monotonic() + STORE_SECONDS
    while (missing := wanted - server.stored()) > 0 and time.monotonic() < deadline:
        time.sleep(SAMPLE_SECONDS)
    return max(missing, 0)


def _percentile_ms(load: LoadResult, percent: float) -> float:
    return float(np.percentile(load.latencies, percent)) * 1_000 if load.latencies else float("nan")


@contextmanager
def _watch(server: Server) -> Generator[Usage]:
    """Fill the usage of the server's processes; complete when the block has ended."""
    tree, usage, done = server.tree(), Usage(), threading.Event()

    def sample() -> None:
        ended = False
        while not ended:
            ended = done.wait(SAMPLE_SECONDS)
            usage.peak_rss = max(usage.peak_rss, sum(process.memory_info().rss for process in tree))

    before = _cpu_seconds(tree)
    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield usage
    finally:
        done.set()
        sampler.join()
    usage.cpu_seconds = _cpu_seconds(tree) - before


def _cpu_seconds(tree: list[psutil.Process]) -> float:
    try:
        times = [process.cpu_times() for process in tree]
    except psutil.NoSuchProcess as error:
        raise ServerError(f"a process of the server ended under load: {error}") from error
    return sum(item.user + item.system for item in times)


def shapes(connections: Sequence[int]) -> list[Shape]:
    """Return the loads over these numbers of connections."""
    return [Shape(traces=traces, connections=number) for traces in (1, 20, 100) for number in connections]


def compare_intake(
    targets: Sequence[str], shapes: Sequence[Shape], seconds: float, folder: Path, postgres: str | None
) -> tuple[list[Cell], bool]:
    """Start the targets in `folder` and put each load on each of them for `seconds`.

    Returns:
        What was measured, and whether every server came through; the others go on without one that fails.
    """
    cells: list[Cell] = []
    servers: dict[str, Server] = {}
    with ExitStack() as stack:
        for target in targets:
            click.echo(f"{target}: {TARGETS[target][0]}", err=True)
            with _report_and_go_on():
                server = stack.enter_context(running(target, folder / target, postgres))
                warm_up(server)
                servers[target] = server
        for shape in shapes:
            for target, server in list(servers.items()):
                del servers[target]
                with _report_and_go_on():
                    _measure_next(target, server, shape, seconds, cells)
                    servers[target] = server
    return cells, len(servers) == len(targets)


def _measure_next(target: str, server: Server, shape: Shape, seconds: float, cells: list[Cell]) -> None:
    cell = measure(target, server, shape, seconds)
    cells.append(cell)
    load = f"{shape.traces} a request, {shape.connections} connections"
    click.echo(f"  {load}, {target}: {cell.acked_per_second:,.0f}/s", err=True)
    if cell.missing:  # the next load would only queue up behind them
        raise server.error(f"{target}: {cell.missing} acked traces are not stored")


@contextmanager
def _report_and_go_on() -> Generator[None]:
    """Report why a server fails, and go on."""
    try:
        yield
    except (ServerError, LoadError) as error:
        click.echo(f"Error: {error}", err=True)
