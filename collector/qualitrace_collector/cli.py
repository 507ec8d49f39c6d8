"""What the commands share: the option `--config`, loading it, and opening state database and MLflow that it names."""

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click
from pydantic import TypeAdapter, ValidationError

from qualitrace_collector.config import ConfigError, load_config
from qualitrace_collector.config.load import mistakes_of
from qualitrace_collector.config.values import Duration, duration_text
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import Database, StateError
from qualitrace_collector.state.database import FILE_NAME

if TYPE_CHECKING:
    from qualitrace_collector.mlflow_store.store import TraceStore

CONNECT_SECONDS = 5

C = TypeVar("C", bound=CollectorConfig)

config_option = click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file; every default works without one.",
)


NAME_THE_CONFIGURATION = (
    "name the server's own configuration with --config; a relative data_dir is in the folder that the server runs in"
)


def load_or_exit(path: Path | None, model: type[C], status: int = 1, *, needs: Collection[str] | None = None) -> C:
    """Load the configuration into `model`; print every mistake and exit with `status` if there is any.

    Args:
        needs: the sections that the command uses; elsewhere variables of the environment need not be set. None for all.
    """
    try:
        return load_config(path, model, needs)
    except ConfigError as error:
        exit_with_mistakes(error, status)


def exit_with_mistakes(error: ConfigError, status: int = 1) -> NoReturn:
    """Print every mistake of a configuration and exit."""
    for mistake in error.mistakes:
        click.echo(f"{error.source}: {mistake}", err=True)
    sys.exit(status)


def look_back(most: float, why: str) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Return a callback for an option that says how far a command looks back, such as 24h; it gives seconds.

    Args:
        most: seconds.
        why: what is kept so long.
    """

    def seconds_of(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
        if text is None:
            return None
        try:
            seconds = TypeAdapter[float](Duration).validate_python(text)
        except ValidationError as error:
            raise click.BadParameter(mistakes_of(error)[0][1]) from None
        if not 0 < seconds <= most:
            raise click.BadParameter(f"must be more than 0s and at most {duration_text(most)}: {why}")
        return seconds

    return seconds_of


def state_file(config: CollectorConfig) -> Path:
    """Return the file of a server's state database; exit with a message if it is missing."""
    path = config.data_dir / FILE_NAME
    if not path.exists():
        raise click.ClickException(f"{path.resolve()}: no such file; {NAME_THE_CONFIGURATION}")
    return path


def open_state(config: CollectorConfig) -> Database:
    """Open the state database of a server; exit with a message if it is missing or cannot be used."""
    try:
        return Database(state_file(config))
    except StateError as error:
        raise click.ClickException(str(error)) from error


def open_mlflow(config: CollectorConfig) -> "TraceStore":
    """Return the store of a server's traces; exit with a message if it is missing or cannot be reached."""
    check_mlflow(config)
    from qualitrace_collector.mlflow_store.store import TraceStore

    return TraceStore.of(config.mlflow, config.data_dir)


def check_mlflow(config: CollectorConfig) -> None:
    """Exit with a message if a server's MLflow is a database that is missing or cannot be reached."""
    # These imports take a second, which most commands need not wait for.
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import SQLAlchemyError

    from qualitrace_collector.masking import masked
    from qualitrace_collector.mlflow_store.unavailable import reason

    uri = config.tracking_uri
    if uri.startswith("sqlite"):  # MLflow would create a file that is missing
        path = make_url(uri).database or ""
        if not Path(path).exists():
            raise click.ClickException(f"{path}: no such file; {NAME_THE_CONFIGURATION}")
    elif uri.startswith("postgresql"):  # MLflow would try for minutes
        try:
            create_engine(uri, connect_args={"connect_timeout": CONNECT_SECONDS}).connect().close()
        except SQLAlchemyError as error:
            text = f"MLflow's database {masked(uri)} cannot be reached: {reason(error)}"
            raise click.ClickException(text) from error
