"""The benchmarks: `python benchmarks/run.py` times qualitrace beside MLflow.

First the conversion of spans and their way into the database, in this process; then the intake of traces, beside
MLflow's tracking server.
"""

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import click

from conversion import Conversion, compare_conversion
from intake.measure import CONNECTIONS, QUICK_SHAPES, compare_intake, shapes
from intake.report import PACKAGES, as_json, print_table
from intake.servers import TARGETS
from judging import Result, measure_llm, measure_local
from machine import environment
from qualitrace_collector.process.startup import apply_mlflow_settings, collect_garbage_seldom
from storing import BATCHES, Step, Storing, bare_insertion, compare_storing, cost_by_size


@click.command()
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=2, show_default=True, help="Length of each load.")
@click.option("--quick", is_flag=True, help="Only one trace a request over 16 connections, to see that it works.")
@click.option("--connections", multiple=True, type=int, default=CONNECTIONS, show_default=True)
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
    "--postgres", metavar="URI", help="Let the servers store into new databases of postgresql://user@host:port/"
)
@click.option("--grow", metavar="SPANS", type=click.IntRange(10_000), help="Only: the cost by table size, up to it.")
@click.option("--json", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write all results here.")
def main(
    seconds: float,
    quick: bool,
    connections: tuple[int, ...],
    targets: tuple[str, ...],
    store_seconds: float,
    postgres: str | None,
    grow: int | None,
    output: Path | None,
) -> None:
    """Compare how fast spans are converted and traces taken in, all in one run. Exit code 1 if anything failed."""
    about = environment(["benchmarks/run.py", *sys.argv[1:]], Path(tempfile.gettempdir()), PACKAGES)
    if grow is not None:
        steps = list(_measure_growth(grow, postgres))
        _write(output, about | {"growth": [asdict(step) for step in steps]})
        return
    conversion = compare_conversion(seconds)
    _print_conversion(conversion)
    storing = list(_measure_storing(store_seconds, postgres))
    bare = {database: bare_insertion(database, store_seconds, postgres) for database in _databases(postgres)}
    for database, per_second in bare.items():
        click.echo(f"storing, traces/s into {database}: {per_second:,.0f} by bare insertion of finished rows")
    with tempfile.TemporaryDirectory(prefix="qualitrace-bench-") as name:
        cells, complete = compare_intake(
            targets, QUICK_SHAPES if quick else shapes(connections), seconds, Path(name), postgres
        )
        judged = _measure_judging(Path(name), 200 if quick else 2000)
    print_table(cells)
    for result in judged:
        per_cpu = result.judgements / result.cpu
        click.echo(f"judging, {result.name}: {result.per_second:,.0f}/s, {per_cpu:,.0f} per second of CPU")
    results = {
        "conversion": conversion.as_json(),
        "storing": [item.as_json() for item in storing],
        "bare_insertion_per_second": bare,
        "judging": [asdict(result) for result in judged],
    }
    _write(output, as_json(about, cells) | results)
    sys.exit(not complete or not all(cell.valid for cell in cells))


def _write(output: Path | None, results: dict[str, Any]) -> None:
    if output:
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _print_conversion(conversion: Conversion) -> None:
    click.echo(
        f"conversion, spans/s on one core: qualitrace {conversion.qualitrace_per_second:,.0f}, "
        f"mlflow {conversion.mlflow_per_second:,.0f} (× {conversion.ratio:.1f})"
    )


def _databases(postgres: str | None) -> tuple[str, ...]:
    return ("sqlite", "postgresql") if postgres else ("sqlite",)


def _measure_storing(seconds: float, postgres: str | None) -> Iterator[Storing]:
    for database in _databases(postgres):
        for batch in BATCHES:
            storing = compare_storing(database, batch, seconds, postgres)
            click.echo(
                f"storing, traces/s into {database}, {batch} a batch: "
                f"qualitrace {storing.qualitrace_per_second:,.0f} (at the end {storing.qualitrace_last:,.0f}), "
                f"mlflow {storing.mlflow_per_second:,.0f} (× {storing.ratio:.1f})"
            )
            yield storing


def _measure_growth(spans: int, postgres: str | None) -> Iterator[Step]:
    for database in _databases(postgres):
        for step in cost_by_size(database, spans, postgres):
            click.echo(f"{database}, {step.spans:,} spans: {step.cpu:.2f} CPU s, {step.seconds:.2f} s a 1,000 traces")
            yield step


def _measure_judging(folder: Path, traces: int) -> list[Result]:
    return [
        measure_local(folder / "local", traces, ["groundedness"]),
        measure_local(folder / "all", traces, ["relevance", "faithfulness", "groundedness", "safety", "toxicity"]),
        measure_llm(folder / "llm", traces, delay=0.02),
    ]


def _exit(number: int, _frame: FrameType | None) -> None:
    """Unwind, so that the servers are ended, too; the code is the shell's for a signal."""
    sys.exit(128 + number)


if __name__ == "__main__":
    apply_mlflow_settings()
    collect_garbage_seldom()  # as the server does
    signal.signal(signal.SIGTERM, _exit)
    main()
