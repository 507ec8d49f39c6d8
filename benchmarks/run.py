"""The benchmarks: `python benchmarks/run.py` times qualitrace beside MLflow.

First the conversion of spans and their way into the database, in this process; then the intake of traces, beside
MLflow's tracking server.
"""

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from convert.compare import Conversion
from convert.compare import compare as compare_conversion
from intake.load import LoadError
from intake.measure import Cell, Shape, measure, warm_up
from intake.report import as_json, environment, print_table
from intake.servers import TARGETS, ServerError, running
from judging.measure import Result, measure_llm, measure_local
from qualitrace_collector.mlflow_settings import apply_mlflow_settings
from store.compare import BATCHES, Storing
from store.compare import compare as compare_storing

_SHAPES = [Shape(traces=traces, connections=connections) for traces in (1, 20, 100) for connections in (1, 4, 16)]
_QUICK_SHAPES = [Shape(traces=1, connections=16)]


@click.command()
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=2, show_default=True, help="Length of each load.")
@click.option("--quick", is_flag=True, help="Only one trace a request over 16 connections, to see that it works.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    default=("receive", "serve", "mlflow", "mlflow-1"),
    show_default=True,
    help="Server to measure; give it once for each.",
)
@click.option(
    "--store-seconds", type=click.FloatRange(1), default=4, show_default=True, help="Length of each store run."
)
@click.option(
    "--postgres", metavar="URI", help="Also store into new databases of this server: postgresql://user@host:port/"
)
@click.option("--json", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write all results here.")
def main(
    seconds: float,
    quick: bool,
    targets: tuple[str, ...],
    store_seconds: float,
    postgres: str | None,
    output: Path | None,
) -> None:
    """Compare how fast spans are converted and traces taken in, all in one run. Exit code 1 if anything failed."""
    cells: list[Cell] = []
    conversion = compare_conversion(seconds)
    _print_conversion(conversion)
    storing = list(_measure_storing(store_seconds, postgres))
    broken = False
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        about = environment(["benchmarks/run.py", *sys.argv[1:]], Path(name))
        for target in targets:
            try:
                _measure_target(target, Path(name) / target, _QUICK_SHAPES if quick else _SHAPES, seconds, cells)
            except (ServerError, LoadError) as error:
                click.echo(f"Error: {error}", err=True)
                broken = True
        judged = _measure_judging(Path(name), 200 if quick else 2000)
    print_table(cells)
    for result in judged:
        per_cpu = result.judgements / result.cpu
        click.echo(f"judging, {result.name}: {result.per_second:,.0f}/s, {per_cpu:,.0f} per second of CPU")
    if output:
        results = as_json(about, cells) | {
            "conversion": conversion.as_json(),
            "storing": [item.as_json() for item in storing],
        }
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.exit(broken or not all(cell.valid for cell in cells))


def _print_conversion(conversion: Conversion) -> None:
    click.echo(
        f"conversion, spans/s on one core: qualitrace {conversion.qualitrace_per_second:,.0f}, "
        f"mlflow {conversion.mlflow_per_second:,.0f} (× {conversion.ratio:.1f})"
    )


def _measure_storing(seconds: float, postgres: str | None) -> Iterator[Storing]:
    for database in ("sqlite", "postgresql") if postgres else ("sqlite",):
        for batch in BATCHES:
            storing = compare_storing(database, batch, seconds, postgres)
            click.echo(
                f"storing, traces/s into {database}, {batch} a batch: "
                f"qualitrace {storing.qualitrace_per_second:,.0f} (at the end {storing.qualitrace_last:,.0f}), "
                f"mlflow {storing.mlflow_per_second:,.0f} (× {storing.ratio:.1f})"
            )
            yield storing


def _measure_judging(folder: Path, traces: int) -> list[Result]:
    return [
        measure_local(folder / "local", traces, ["groundedness"]),
        measure_local(folder / "all", traces, ["relevance", "faithfulness", "groundedness", "safety", "toxicity"]),
        measure_llm(folder / "llm", traces, delay=0.02),
    ]


def _measure_target(target: str, folder: Path, shapes: list[Shape], seconds: float, cells: list[Cell]) -> None:
    """Add the target's cells to `cells`, so that those before a failure are not lost."""
    click.echo(f"{target}: {TARGETS[target][0]}", err=True)
    with running(target, folder) as server:
        warm_up(server)
        for shape in shapes:
            cells.append(measure(target, server, shape, seconds))
            click.echo(
                f"  {shape.traces} a request, {shape.connections} connections: {cells[-1].acked_per_second:,.0f}/s",
                err=True,
            )
            if cells[-1].missing:  # the next load would only queue up behind them
                raise server.error(f"{cells[-1].missing} acked traces are not stored")


def _exit(number: int, _frame: FrameType | None) -> None:
    """Unwind, so that the servers are ended, too; the code is the shell's for a signal."""
    sys.exit(128 + number)


if __name__ == "__main__":
    apply_mlflow_settings()
    signal.signal(signal.SIGTERM, _exit)
    main()
