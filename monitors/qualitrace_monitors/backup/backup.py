"""Makes a backup: journal and state as of one moment, then MLflow's database, then its artifacts.

Decision 35 says why nothing is lost and nothing doubled by what happens in between.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from qualitrace_collector.journal.sqlite import FILE_NAME as JOURNAL
from qualitrace_collector.masking import masked
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state.database import FILE_NAME as STATE
from qualitrace_monitors.backup import snapshots
from qualitrace_monitors.backup.manifest import ARTIFACTS, MLFLOW, BackedUpFile, BackupError, Manifest
from qualitrace_monitors.backup.places import Places, sync
from qualitrace_monitors.moments import instant

UNFINISHED = ".unfinished"
"""What the name of a folder ends with while a backup is being written into it."""


def back_up(config: CollectorConfig, target: Path) -> Manifest:
    """Write a backup of a server that runs or not.

    Args:
        target: a folder that does not exist; it appears at the end, at once.

    Raises:
        BackupError: it exists, its disk has no room, or a database cannot be read.
    """
    places, began = Places.of(config), time.time()
    try:
        _check_target(target, places)
        _check_room(target.parent, places)
    except OSError as error:
        raise _failure(error, target) from error
    with _unfinished(target) as folder:
        with snapshots.at_one_moment(places.journal, places.state) as (journal, state):
            versions = [_user_version(connection) for connection in (journal, state)]
            snapshots.copy(journal, folder / JOURNAL)
            snapshots.copy(state, folder / STATE)
        if places.mlflow is not None:
            with snapshots.at_a_moment(places.mlflow) as mlflow:
                snapshots.copy(mlflow, folder / MLFLOW)
        for path in _files(folder):
            snapshots.check(path)
        _copy_artifacts(places.artifacts, folder / ARTIFACTS)
        manifest = Manifest(
            journal_format=versions[0],
            state_version=versions[1],
            mlflow_at="" if places.mlflow else masked(config.tracking_uri),
            artifacts_at=places.artifacts.as_uri(),
            began_at=instant(began),
            finished_at=instant(time.time()),
            files=tuple(BackedUpFile.of(folder, path) for path in _files(folder)),
        )
        sync(*_files(folder), manifest.write(folder), *(path for path in folder.rglob("*") if path.is_dir()), folder)
        folder.rename(target)
        sync(target.parent)
    return manifest


def _check_target(target: Path, places: Places) -> None:
    if os.path.lexists(target):  # a link that leads nowhere, too
        raise BackupError(f"{target}: exists; a backup overwrites nothing: name a folder that does not exist")
    if not target.parent.is_dir():
        raise BackupError(f"{target.parent}: no such folder; make it, or mount the disk that backups are kept on")
    for folder in (places.state.parent, places.artifacts):
        if target.resolve().is_relative_to(folder):
            raise BackupError(f"{target}: is in {folder}, which is backed up; name a folder elsewhere")


def _check_room(folder: Path, places: Places) -> None:
    databases = [path for path in (places.journal, places.state, places.mlflow) if path is not None]
    logs = [path.with_name(f"{path.name}-wal") for path in databases]
    needed = sum(path.stat().st_size for path in (*databases, *logs, *_files(places.artifacts)) if path.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BackupError(f"{folder}: has {free / 1e6:,.0f} MB free, and the backup may take {needed / 1e6:,.0f} MB")


@contextmanager
def _unfinished(target: Path) -> Generator[Path]:
    """Give an empty folder beside `target`, which is removed unless the block renames it."""
    folder = target.with_name(target.name + UNFINISHED)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise BackupError(
            f"{folder}: exists; a backup is being written there, or one was killed: if none is, remove it"
        ) from None
    except OSError as error:
        raise BackupError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        yield folder
    except BaseException as error:
        # Not after a success: a folder of this name is another backup's then.
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise _failure(error, folder) from error
        raise


def _failure(error: OSError, folder: Path) -> BackupError:
    return BackupError(f"{error.filename or folder}: {error.strerror}; check rights, and its disk's free space")


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in order, without links: what they lead to may be anywhere."""
    for path, folders, names in os.walk(folder, onerror=_unless_gone):
        folders.sort()
        yield from (file for name in sorted(names) if not (file := Path(path, name)).is_symlink() and file.is_file())


def _unless_gone(error: OSError) -> None:
    """Raise what keeps a folder from being listed: a backup without it would not be whole."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _copy_artifacts(source: Path, target: Path) -> None:
    for path in _files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:  # somebody has just deleted it in MLflow
            copy.unlink(missing_ok=True)
