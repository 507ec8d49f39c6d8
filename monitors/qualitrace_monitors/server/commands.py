"""The server's commands; `qualitrace.cli` loads them when they are called."""

import sys
from pathlib import Path

import click

from qualitrace_collector.cli import config_option, exit_with_mistakes, load_or_exit
from qualitrace_collector.config import ConfigError
from qualitrace_collector.process.startup import configure_logging
from qualitrace_monitors.config import Config
from qualitrace_monitors.reload.configuration import Configuration
from qualitrace_monitors.server.data_dir_lock import DataDirError
from qualitrace_monitors.server.supervise import supervise


def _supervise(path: Path | None, parts: list[str]) -> None:
    configure_logging()
    try:
        sys.exit(supervise(Configuration.read(path), parts))
    except ConfigError as error:
        exit_with_mistakes(error)
    except DataDirError as error:
        sys.exit(f"qualitrace: {error}")


@click.command()
@config_option
def serve(path: Path | None) -> None:
    """Run collector and monitors in one go."""
    _supervise(path, ["collector", "monitor"])


@click.command()
@config_option
def collector(path: Path | None) -> None:
    """Run the collector alone: OTLP in, MLflow traces and queued samples out."""
    _supervise(path, ["collector"])


@click.command()
@config_option
def monitor(path: Path | None) -> None:
    """Run the monitors alone, on the samples that a collector queued in the same data_dir."""
    _supervise(path, ["monitor"])


@click.command("check-config")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def check_config(path: Path) -> None:
    """Check a configuration file: every mistake at once, exit code 1 if there is any."""
    load_or_exit(path, Config)
    click.echo(f"{path}: ok")
