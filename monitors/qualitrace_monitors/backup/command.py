"""`qualitrace backup` and `qualitrace restore`."""

from pathlib import Path

import click

from qualitrace_collector.cli import config_option, load_or_exit
from qualitrace_collector.settings import CollectorConfig
from qualitrace_monitors.backup.backup import back_up
from qualitrace_monitors.backup.manifest import BackupError, Manifest
from qualitrace_monitors.backup.restore import restore as put_back
from qualitrace_monitors.progress import Progress, quiet_option
from qualitrace_monitors.server.data_dir_lock import DataDirError

_NEEDS = ("data_dir", "mlflow")


@click.command()
@config_option
@click.option("--to", "target", metavar="DIR", required=True, type=click.Path(path_type=Path), help="A new folder.")
@quiet_option
def backup(path: Path | None, target: Path, quiet: bool) -> None:
    """Back up journal, state, and MLflow's SQLite database with its artifacts, while the server runs.

    The folder appears when the backup is complete. Back up a database of MLflow that is elsewhere with its own tools,
    after this.
    """
    config = load_or_exit(path, CollectorConfig, needs=_NEEDS)
    try:
        with Progress("backing up", quiet=quiet):
            manifest = back_up(config, target)
    except BackupError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{target}: {_contents(manifest)}, as of {manifest.began_at}")
    if manifest.mlflow_at:
        click.echo(
            f"MLflow's database is at {manifest.mlflow_at}, and not in the backup: back it up now, after this (pg_dump)"
        )


@click.command()
@config_option
@click.option(
    "--from", "source", metavar="DIR", required=True, type=click.Path(path_type=Path), help="A backup's folder."
)
@quiet_option
def restore(path: Path | None, source: Path, quiet: bool) -> None:
    """Restore a backup into an empty data_dir; start the server afterwards."""
    config = load_or_exit(path, CollectorConfig, needs=_NEEDS)
    try:
        with Progress("restoring", quiet=quiet):
            manifest = put_back(config, source)
    except (BackupError, DataDirError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{config.data_dir}: {_contents(manifest)}, as of {manifest.began_at}")
    if manifest.mlflow_at:
        click.echo(f"MLflow's database was at {manifest.mlflow_at}: it must be from after {manifest.began_at}")


def _contents(manifest: Manifest) -> str:
    databases = ["journal", "state", *(["MLflow's database"] if manifest.has_mlflow else [])]
    artifacts = f" and {len(manifest.artifacts):,} artifacts" if manifest.artifacts else ""
    return f"{', '.join(databases)}{artifacts}, {manifest.size / 1e6:,.1f} MB"
