"""Puts a backup where a server finds it."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from qualitrace_collector.masking import masked
from qualitrace_collector.mlflow_store.artifact_addresses import change_artifact_addresses
from qualitrace_collector.settings import CollectorConfig
from qualitrace_monitors.backup.manifest import BackedUpFile, BackupError, Manifest
from qualitrace_monitors.backup.places import Places, sync
from qualitrace_monitors.server.data_dir_lock import UNFINISHED_RESTORE, lock_data_dir

_CHUNK_BYTES = 1 << 20
_LOGS = ("-wal", "-shm", "-journal")
"""What SQLite's files beside a database end with."""


def restore(config: CollectorConfig, source: Path) -> Manifest:
    """Restore a backup into the empty `data_dir` of a configuration, and MLflow's database where that one has it.

    Raises:
        BackupError: the backup is not complete, a newer qualitrace wrote it, it does not fit the configuration, or
            files are in its way. Nothing of it is left then.
        DataDirError: a server runs on `data_dir`.
    """
    manifest, places = Manifest.read(source), Places.of(config)
    _check_mlflow(manifest, places, config, source)
    _check_user(config.data_dir)
    lock_data_dir(config.data_dir, ("collector", "monitor"))  # until this process ends
    _check_empty(places)
    unfinished = config.data_dir / UNFINISHED_RESTORE
    written = [unfinished]
    try:
        unfinished.touch(mode=0o600)
        sync(unfinished, config.data_dir)
        for file in manifest.files:
            _copy(source, places.of_file(file.name), file, written)
        if places.mlflow is not None:
            change_artifact_addresses(places.mlflow, manifest.artifacts_at, places.artifacts.as_uri())
        folders = {path.parent for path in written} | {path for path in places.artifacts.rglob("*") if path.is_dir()}
        sync(*written, *folders)
    except BaseException as error:
        _remove(written, places.artifacts)
        if isinstance(error, OSError | sqlite3.Error):
            # Errors of a write have no name of a file; SQLite's are those of MLflow's database.
            name = places.mlflow if isinstance(error, sqlite3.Error) else error.filename or written[-1]
            raise BackupError(
                f"{name}: {getattr(error, 'strerror', None) or error}; check the disk's free space and rights"
            ) from error
        raise
    unfinished.unlink()
    sync(config.data_dir)
    return manifest


def _check_mlflow(manifest: Manifest, places: Places, config: CollectorConfig, source: Path) -> None:
    if manifest.has_mlflow and places.mlflow is None:
        raise BackupError(
            f"{source}: has MLflow's database, and mlflow.tracking_uri is {masked(config.tracking_uri)}: the traces "
            "would be missing there; leave mlflow.tracking_uri empty, or name a SQLite file that does not exist"
        )
    if not manifest.has_mlflow and places.mlflow is not None:
        raise BackupError(
            f"{source}: is without MLflow's database, which was {manifest.mlflow_at}; restore that one from its own "
            "backup, and set mlflow.tracking_uri"
        )


def _check_user(data_dir: Path) -> None:
    """Refuse to write files as root that the server's user could not read."""
    if os.geteuid() == 0 and data_dir.exists() and (owner := data_dir.stat().st_uid) != 0:
        raise BackupError(f"{data_dir}: belongs to the user {owner}; run the command as that one: sudo -u '#{owner}' …")


def _check_empty(places: Places) -> None:
    # A volume's file system has a lost+found, and a server that ran before has left its locks.
    found = [path for path in places.state.parent.iterdir() if path.suffix != ".lock" and path.name != "lost+found"]
    # SQLite would apply the log of a database that is gone to the one that is restored in its place.
    logs = [places.mlflow.with_name(places.mlflow.name + end) for end in _LOGS] if places.mlflow else []
    elsewhere = [path for path in (places.mlflow, *logs, places.artifacts) if path and os.path.lexists(path)]
    if in_the_way := sorted({*found, *elsewhere}):
        names = ", ".join(path.name for path in in_the_way[:3])
        raise BackupError(
            f"{in_the_way[0].parent}: is not empty ({names}{', …' if in_the_way[3:] else ''}); "
            "a restore overwrites nothing: move them away"
        )


def _copy(backup: Path, target: Path, file: BackedUpFile, written: list[Path]) -> None:
    """Copy a file of a backup; append it to `written` once it is made, so that no other one is ever removed."""
    source = backup / file.name
    if source.resolve() != backup.resolve() / file.name or not source.is_file():  # links lead out of the backup
        raise BackupError(f"{source}: is missing; the backup is not whole: take another one")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as copy:
        written.append(target)
        for chunk in _chunks(source):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != file.sha256 or target.stat().st_size != file.size:
        raise BackupError(f"{source}: is not as it was written: its checksum differs; take another backup")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _remove(written: list[Path], artifacts: Path) -> None:
    shutil.rmtree(artifacts, ignore_errors=True)
    for path in reversed(written):  # the mark of an unfinished restore goes last
        path.unlink(missing_ok=True)
