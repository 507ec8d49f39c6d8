"""All servers under all loads, in turns, so that what else the machine does meets all of them."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from intake.load import LoadError
from intake.measure import Cell, Shape, measure, warm_up
from intake.servers import TARGETS, Server, ServerError, running

CONNECTIONS = (1, 4, 16)
QUICK_SHAPES = [Shape(traces=1, connections=16)]


def shapes(connections: Sequence[int]) -> list[Shape]:
    """Return the loads over these numbers of connections."""
    return [Shape(traces=traces, connections=number) for traces in (1, 20, 100) for number in connections]


def compare(
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
            with _told():
                server = stack.enter_context(running(target, folder / target, postgres))
                warm_up(server)
                servers[target] = server
        for shape in shapes:
            for target, server in list(servers.items()):
                del servers[target]
                with _told():
                    _measure(target, server, shape, seconds, cells)
                    servers[target] = server
    return cells, len(servers) == len(targets)


def _measure(target: str, server: Server, shape: Shape, seconds: float, cells: list[Cell]) -> None:
    cell = measure(target, server, shape, seconds)
    cells.append(cell)
    load = f"{shape.traces} a request, {shape.connections} connections"
    click.echo(f"  {load}, {target}: {cell.acked_per_second:,.0f}/s", err=True)
    if cell.missing:  # the next load would only queue up behind them
        raise server.error(f"{target}: {cell.missing} acked traces are not stored")


@contextmanager
def _told() -> Generator[None]:
    """Say why a server fails, and go on."""
    try:
        yield
    except (ServerError, LoadError) as error:
        click.echo(f"Error: {error}", err=True)
