"""What tracing costs: `PYTHONPATH=benchmarks .venv/bin/python -m tracer.run`."""

import json
import subprocess
import sys
from pathlib import Path

import click

from machine import environment
from tracer.counting import can_count
from tracer.environments import DEFAULT, python_of
from tracer.measure import COUNTED_CALLS, QUICK, Plan, compare, count
from tracer.peers import BASELINE, PEERS, REFERENCE
from tracer.report import as_json, print_counts, print_table


@click.command()
@click.option("--quick", is_flag=True, help="Few rounds, to see that it works.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([name for name in PEERS if name not in (BASELINE, REFERENCE)]),
    help="Tracer to measure beside OpenTelemetry alone; give it once for each. Default: all.",
)
@click.option("--rounds", type=click.IntRange(2, 1000), default=30, show_default=True, help="Turns of calls.")
@click.option(
    "--instructions",
    is_flag=True,
    help="Count instructions of calls instead (Valgrind): they are the same on a busy machine; 5 rounds are enough.",
)
@click.option("--exits", type=click.IntRange(1, 20), default=3, show_default=True, help="Processes to end.")
@click.option(
    "--environments",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Where the tracers' environments are kept.",
)
@click.option("--json", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write all results here.")
def main(
    quick: bool,
    only: tuple[str, ...],
    rounds: int,
    instructions: bool,
    exits: int,
    environments: Path,
    output: Path | None,
) -> None:
    """Measure what tracers add to an application's CPU, start, end and memory. Exit code 1 if one of them failed."""
    if instructions and not can_count():
        raise click.ClickException("valgrind is missing: apt install valgrind")
    about = environment(["tracer.run", *sys.argv[1:]], environments.parent, ["qualitrace"])
    wanted = [name for name in PEERS if name in (BASELINE, REFERENCE) or not only or name in only]
    pythons: dict[str, Path] = {}
    for name in wanted:
        click.echo(f"{name}: {', '.join(PEERS[name].requirements) or 'no tracer'}", err=True)
        try:
            pythons[name] = python_of(PEERS[name], environments)
        except (OSError, subprocess.CalledProcessError) as error:
            if name in (BASELINE, REFERENCE):
                raise click.ClickException(f"{name}: {error}") from error
            click.echo(f"Error: {name}: {error}", err=True)
    plan = QUICK if quick else Plan(rounds, COUNTED_CALLS if instructions else 100, starts=10, exits=exits)
    results = count(pythons, plan) if instructions else compare(pythons, plan)
    (print_counts if instructions else print_table)(results)
    if output:
        output.write_text(json.dumps(about | {"results": as_json(results)}, indent=2) + "\n", encoding="utf-8")
    lost = [name for name in results if name != BASELINE and results[name].spans_per_call < 1]
    for name in lost:
        click.echo(f"Error: {name}: the collector got {results[name].spans_per_call:.2f} spans a call", err=True)
    sys.exit(bool(lost) or len(results) < len(wanted))


if __name__ == "__main__":
    main()
