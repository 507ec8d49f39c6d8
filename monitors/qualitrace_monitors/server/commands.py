"""The server's commands; `qualitrace.cli` loads them when they are called."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from qualitrace_collector.cli import config_option, load_or_exit, look_back, open_mlflow, state_file
from qualitrace_collector.config import ConfigError
from qualitrace_collector.config.load import STDIN
from qualitrace_collector.config.values import duration_text
from qualitrace_collector.pipeline.settings import KEEP_SECONDS
from qualitrace_collector.process.log_format import FORMATS, LEVELS
from qualitrace_collector.process.startup import (
    FORMAT_VARIABLE,
    LEVEL_VARIABLE,
    apply_mlflow_settings,
    configure_logging,
    log_line,
)
from qualitrace_collector.state import StateError
from qualitrace_monitors.config import Config
from qualitrace_monitors.progress import Progress, quiet_option
from qualitrace_monitors.reload.channel import Requests
from qualitrace_monitors.reload.configuration import Configuration
from qualitrace_monitors.server.data_dir_lock import DataDirError
from qualitrace_monitors.server.supervise import supervise


def _set(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Set the variable of an option, which the server's processes inherit."""
    os.environ[str(parameter.envvar)] = value
    return value


def _server(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a server."""
    level = click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="info",
        envvar=LEVEL_VARIABLE,
        show_default=True,
        show_envvar=True,
        expose_value=False,
        callback=_set,
        help="What is logged, from this level on.",
    )
    form = click.option(
        "--log-format",
        type=click.Choice([*FORMATS], case_sensitive=False),
        default="text",
        envvar=FORMAT_VARIABLE,
        show_default=True,
        show_envvar=True,
        expose_value=False,
        callback=_set,
        help="Lines of text, or a JSON object a line.",
    )
    return config_option(level(form(command)))


def _supervise(path: Path | None, parts: list[str]) -> None:
    configure_logging()
    try:
        requests = Requests()  # before the file is read, so that no reload is lost in between
        sys.exit(supervise(Configuration.read(path), parts, requests))
    except ConfigError as error:
        _stop(*(f"{error.source}: {mistake}" for mistake in error.mistakes))
    except DataDirError as error:
        _stop(f"qualitrace: {error}")


def _stop(*lines: str) -> NoReturn:
    for line in lines:
        click.echo(log_line(line, logging.CRITICAL), err=True)
    sys.exit(1)


@click.command()
@_server
def serve(path: Path | None) -> None:
    """Run collector and monitors in one go."""
    _supervise(path, ["collector", "monitor"])


@click.command()
@_server
def collector(path: Path | None) -> None:
    """Run the collector alone: OTLP in, MLflow traces and queued samples out."""
    _supervise(path, ["collector"])


@click.command()
@_server
def monitor(path: Path | None) -> None:
    """Run the monitors alone, on the samples that a collector queued in the same data_dir."""
    _supervise(path, ["monitor"])


@click.command("check-config")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.option(
    "--against",
    callback=look_back(KEEP_SECONDS, "what came is known so long"),
    metavar="24h",
    help="Count what the file would have seen of the traces stored since then.",
)
@quiet_option
def check_config(path: Path, against: float | None, quiet: bool) -> None:
    """Check a configuration file (- for standard input): every mistake at once, exit code 1 if there is any.

    With --against, say how many of the traces in the file's data_dir each judge, rate and alert rule would have seen.
    """
    config = load_or_exit(path, Config)
    click.echo(f"{'<stdin>' if path == STDIN else path}: ok")
    if against is not None:
        _show_seen(config, against, quiet=quiet)


def _show_seen(config: Config, seconds: float, *, quiet: bool) -> None:
    apply_mlflow_settings(config.mlflow.token)  # before these import MLflow
    from qualitrace_collector.mlflow_store.store import StoreUnavailable
    from qualitrace_monitors.server.against import count_seen

    state = state_file(config)
    try:
        with Progress("reading traces", 0, quiet=quiet) as progress:
            answer = count_seen(config, state, lambda: open_mlflow(config), time.time() - seconds, progress)
    except StoreUnavailable as error:
        raise click.ClickException(f"MLflow cannot be reached: {error}") from error
    except StateError as error:
        raise click.ClickException(str(error)) from error
    about = "all read" if answer.read == answer.traces else f"of which {answer.read:,} were read; counts are estimates"
    click.echo(f"{answer.traces:,} traces stored in the last {duration_text(seconds)}, {about}")
    width = max((len(line.name) for line in answer.lines), default=0)
    click.echo(f"{'':{width}}  {'seen':>11}  {'judged':>11}")
    for line in answer.lines:
        click.echo(f"{line.name:{width}}  {line.seen:>11,.0f}  {line.judged:>11,.0f}")
