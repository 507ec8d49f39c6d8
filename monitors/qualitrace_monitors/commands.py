"""The server's commands; `qualitrace.cli` loads them when they are called."""

import sys
from pathlib import Path

import click

from qualitrace_collector.config import Config, ConfigError, load_config
from qualitrace_collector.logs import configure_logging

_config_option = click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file; every default works without one.",
)


def _load(path: Path | None) -> Config:
    try:
        return load_config(path)
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(f"{error.source}: {mistake}", err=True)
        sys.exit(1)


def _supervise(path: Path | None, parts: list[str]) -> None:
    from qualitrace_monitors.supervise import supervise

    configure_logging()
    sys.exit(supervise(_load(path), path, parts))


@click.command()
@_config_option
def serve(path: Path | None) -> None:
    """Run collector and monitors in one go."""
    _supervise(path, ["collector", "monitor"])


@click.command()
@_config_option
def collector(path: Path | None) -> None:
    """Run the collector alone: OTLP in, MLflow traces and queued samples out."""
    _supervise(path, ["collector"])


@click.command()
@_config_option
def monitor(path: Path | None) -> None:
    """Run the monitors alone, on the samples that a collector queued in the same data_dir."""
    _supervise(path, ["monitor"])


@click.command("check-config")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def check_config(path: Path) -> None:
    """Check a configuration file: every mistake at once, exit code 1 if there is any."""
    _load(path)
    click.echo(f"{path}: ok")


@click.command()
@click.option("--keep", is_flag=True, help="Keep everything running until Ctrl-C.")
def demo(keep: bool) -> None:
    """Show the main job: good answers, broken retrieval, an alert, recovery."""
    from qualitrace_monitors.demo import main

    sys.exit(main(keep))
