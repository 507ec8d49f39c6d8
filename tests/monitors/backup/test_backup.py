"""`back_up` and `restore` on the files of a server that does not run; `end_to_end/test_restart.py` has one that does."""

import errno
import hashlib
import json
import os
import re
import resource
import shutil
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from qualitrace.cli import main
from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import Database
from qualitrace_monitors.backup import manifest, snapshots
from qualitrace_monitors.backup.backup import back_up
from qualitrace_monitors.backup.manifest import MAX_MANIFEST_BYTES, BackupError
from qualitrace_monitors.backup.restore import restore
from qualitrace_monitors.server.data_dir_lock import DataDirError, lock_data_dir
from support.mlflow_db import new_database
from support.sqlite_lock import locked

ARTIFACT = "report.txt"


@pytest.fixture
def config(tmp_path: Path) -> CollectorConfig:
    """Give the configuration of a server with a request in its journal."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    journal = SqliteJournal(data / "journal.db", 1 << 20)
    journal.append([JournalEntry(signal="traces", payload=b"P" * 99, received_at=1.0)])
    journal.close()
    Database(data / "state.db").close()
    with closing(sqlite3.connect(data / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    return CollectorConfig(data_dir=data)


@pytest.fixture
def backup(config: CollectorConfig, tmp_path: Path) -> Path:
    back_up(config, tmp_path / "backup")
    return tmp_path / "backup"


def empty(tmp_path: Path, **sections: Any) -> CollectorConfig:
    """Return the configuration of a server that has nothing yet."""
    return CollectorConfig.model_validate({"data_dir": tmp_path / "new", **sections})


def test_what_is_restored_is_what_was_there(backup: Path, tmp_path: Path):
    """The server's own code reads it; what nobody needs, and the secret of the fences, is not in it."""
    assert {path.name for path in backup.iterdir()} == {"journal.db", "state.db", "mlflow.db", "manifest.json"}
    restore(empty(tmp_path), backup)
    journal = SqliteJournal(tmp_path / "new" / "journal.db", 1 << 20)
    (entry,) = journal.read(0, 10, 1 << 20)
    assert entry.payload == b"P" * 99
    assert journal.counters().get(("requests_missing", "journal.db")) is None
    Database(tmp_path / "new" / "state.db").close()


def test_the_artifacts_of_mlflow_move_along(tmp_path: Path):
    """A run's artifact is found where it was restored, although MLflow keeps absolute addresses."""
    old = tmp_path / "data"
    old.mkdir()
    SqliteJournal(old / "journal.db", 1 << 20).close()
    Database(old / "state.db").close()
    client = MlflowClient(new_database(old))
    experiment = client.create_experiment("shop", artifact_location=(old / "artifacts" / "1").as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "fine", ARTIFACT)
    (old / "artifacts" / "link").symlink_to("/etc")
    manifest = back_up(CollectorConfig(data_dir=old), tmp_path / "backup")
    assert [Path(file.name).name for file in manifest.artifacts] == [ARTIFACT]
    old.rename(tmp_path / "gone")
    restore(empty(tmp_path), tmp_path / "backup")
    moved = MlflowClient(f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    assert moved.get_experiment(experiment).artifact_location == (tmp_path / "new" / "artifacts" / "1").as_uri()
    assert Path(moved.download_artifacts(run, ARTIFACT)).read_text() == "fine"


def test_commands_write_for_their_user_alone(config: CollectorConfig, tmp_path: Path):
    """Whatever the umask is, and they say what they did."""
    target, before = tmp_path / "backup", os.umask(0)
    try:
        for command, option, data in (("backup", "--to", config.data_dir), ("restore", "--from", tmp_path / "new")):
            path = tmp_path / f"{command}.yaml"
            path.write_text(json.dumps({"data_dir": str(data)}))
            done = CliRunner().invoke(main, [command, "--config", str(path), option, str(target)])
            assert re.search(r"journal, state, MLflow's database, \d\.\d MB, as of \d{4}-", done.stdout), done.stderr
    finally:
        os.umask(before)
    for folder in (target, tmp_path / "new"):
        for file in (folder, *folder.iterdir()):
            assert file.stat().st_mode & 0o077 == 0, file


def test_a_database_of_mlflow_elsewhere_is_left_to_its_own_tools(tmp_path: Path, config: CollectorConfig):
    """The manifest says where it was, without the password; a configuration without one does not fit, nor the other way."""
    sections = {"mlflow": {"tracking_uri": "postgresql://me:secret@db/mlflow"}}
    at_database = CollectorConfig.model_validate({"data_dir": config.data_dir, **sections})
    manifest = back_up(at_database, tmp_path / "backup")
    assert {file.name for file in manifest.files} == {"journal.db", "state.db"}
    assert "secret" not in (tmp_path / "backup" / "manifest.json").read_text()
    with pytest.raises(BackupError, match=r"without MLflow's database, which was postgresql://db/mlflow"):
        restore(empty(tmp_path), tmp_path / "backup")
    back_up(config, tmp_path / "whole")
    with pytest.raises(BackupError, match=r"has MLflow's database, and mlflow.tracking_uri is postgresql://"):
        restore(empty(tmp_path, **sections), tmp_path / "whole")
    restore(empty(tmp_path, **sections), tmp_path / "backup")
    assert not (tmp_path / "new" / "mlflow.db").exists()


def test_a_server_that_is_not_there_is_named(tmp_path: Path):
    """As with a configuration of another server."""
    with pytest.raises(BackupError, match=r"new/state\.db: no such file; name the server's own configuration"):
        back_up(empty(tmp_path), tmp_path / "backup")
    assert not [*tmp_path.iterdir()]


def test_a_lock_that_lasts_ends_the_backup(config: CollectorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a while, and nothing is left of it."""
    monkeypatch.setattr(snapshots, "MLFLOW_SECONDS", 0.1)
    with (
        locked(config.data_dir / "mlflow.db"),
        pytest.raises(BackupError, match=r"mlflow\.db: cannot be read: .*locked; find the process"),
    ):
        back_up(config, tmp_path / "backup")
    assert not [*tmp_path.glob("backup*")]


def existing(target: Path) -> Path:
    target.mkdir()
    return target


def link(target: Path) -> Path:
    target.symlink_to("nowhere")
    return target


def nowhere(target: Path) -> Path:
    return target / "monday"


def inside(target: Path) -> Path:
    return target.parent / "data" / "backup"


def begun(target: Path) -> Path:
    target.with_name("backup.unfinished").mkdir()
    return target


@pytest.mark.parametrize(
    ("prepared", "message"),
    [
        (existing, r"backup: exists; a backup overwrites nothing"),
        (link, r"backup: exists; a backup overwrites nothing"),
        (begun, r"backup\.unfinished: exists; a backup is being written there, or one was killed"),
        (nowhere, r"backup: no such folder; make it, or mount"),
        (inside, r"is in .*data, which is backed up"),
    ],
    ids=["it exists", "a link that leads nowhere", "another one writes", "no disk", "in data_dir"],
)
def test_a_place_that_will_not_do_is_refused(
    config: CollectorConfig, tmp_path: Path, prepared: Callable[[Path], Path], message: str
):
    """Nothing is written then."""
    target = prepared(tmp_path / "backup")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BackupError, match=message):
        back_up(config, target)
    assert sorted(tmp_path.rglob("*")) == before


@contextmanager
def full_disk() -> Generator[None]:
    """Let no file grow beyond some pages."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_leaves_nothing(config: CollectorConfig, tmp_path: Path):
    """Neither of a backup nor of a restore; the message names the file that was being written."""
    with (
        full_disk(),
        pytest.raises(BackupError, match=r"state\.db: cannot be written: .*; check its disk's free space"),
    ):
        back_up(config, tmp_path / "backup")
    assert not [*tmp_path.glob("backup*")]
    back_up(config, tmp_path / "backup")
    with full_disk(), pytest.raises(BackupError, match=r"new/state\.db: File too large; check the disk's free space"):
        restore(empty(tmp_path), tmp_path / "backup")
    assert {path.suffix for path in (tmp_path / "new").iterdir()} == {".lock"}


def unfinished(backup: Path, _data: Path) -> None:
    (backup / "manifest.json").unlink()


def changed(backup: Path, _data: Path) -> None:
    with (backup / "state.db").open("r+b") as file:
        file.seek(100)
        file.write(b"?")


def cut(backup: Path, _data: Path) -> None:
    (backup / "mlflow.db").unlink()


def occupied(_backup: Path, data: Path) -> None:
    data.mkdir()
    (data / "state.db").touch()


def manifest_with(**changes: Any) -> Callable[[Path, Path], None]:
    def change(backup: Path, _data: Path) -> None:
        path = backup / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def files(*names: str) -> list[dict[str, Any]]:
    """Return what a manifest says of files with these names."""
    return [{"name": name, "size": 0, "sha256": ""} for name in ("journal.db", "state.db", *names)]


def wrong_size(backup: Path, data: Path) -> None:
    described = json.loads((backup / "manifest.json").read_text())["files"]
    manifest_with(files=[{**file, "size": 1} for file in described])(backup, data)


def leading_out(backup: Path, _data: Path) -> None:
    (backup.parent / "secrets").mkdir()
    (backup.parent / "secrets" / "token").touch()
    (backup / "artifacts").symlink_to(backup.parent / "secrets")
    described = json.loads((backup / "manifest.json").read_text())["files"]
    token = {"name": "artifacts/token", "size": 0, "sha256": hashlib.sha256().hexdigest()}
    manifest_with(files=[*described, token])(backup, _data)


def huge(backup: Path, _data: Path) -> None:
    os.truncate(backup / "manifest.json", MAX_MANIFEST_BYTES + 1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unfinished, r"backup: is no finished backup: it has no manifest\.json"),
        (changed, r"state\.db: is not as it was written: its checksum differs"),
        (cut, r"mlflow\.db: is missing; the backup is not whole"),
        (occupied, r"new: is not empty \(state\.db\); a restore overwrites nothing"),
        (manifest_with(state_version=99), r"tables of version 99, newer than .*; restore it with qualitrace 0\.1\.0"),
        (manifest_with(journal_format=3), r"journal\.db: has format 3, and this qualitrace reads 2; restore it with"),
        (manifest_with(format=2, files={}), r"format 2, written by qualitrace 0\.1\.0, and this qualitrace knows 1"),
        (manifest_with(files=[]), r"manifest\.json: is damaged: files: .*journal\.db, state\.db is missing"),
        (manifest_with(files=files("state.db")), r"manifest\.json: is damaged: files: .*a name occurs twice"),
        (wrong_size, r"journal\.db: is not as it was written"),
        (manifest_with(format=2, qualitrace="\x1b[2J"), r"manifest\.json: is damaged: qualitrace: "),
        (leading_out, r"artifacts/token: is missing; the backup is not whole"),
        (huge, r"manifest\.json: is damaged: no manifest is larger than 67,108,864 bytes; take another backup"),
    ],
    ids="unfinished changed cut occupied newer-state newer-journal newer-manifest no-files twice size escape leading-out "
    "huge".split(),
)
def test_what_is_not_whole_or_does_not_fit_is_refused(
    backup: Path, tmp_path: Path, spoil: Callable[[Path, Path], None], message: str
):
    """The message says what to do, and nothing of the backup is left in data_dir."""
    spoil(backup, tmp_path / "new")
    before = {*(tmp_path / "new").glob("*")}
    with pytest.raises(BackupError, match=message):
        restore(empty(tmp_path), backup)
    assert {path for path in (tmp_path / "new").glob("*") if path.suffix != ".lock"} == before


@pytest.mark.parametrize("form", ["artifacts/../../{}", "artifacts/{}", "{}", ".", "artifacts/.", "artifacts/x/./y"])
def test_a_manifest_names_no_file_outside(backup: Path, tmp_path: Path, form: str):
    """In no spelling: neither a write, nor what is removed after a failure, reaches another file."""
    theirs = tmp_path / "theirs"
    theirs.touch()
    manifest_with(files=files(form.format(theirs)))(backup, tmp_path)
    with pytest.raises(BackupError, match=r"manifest\.json: is damaged: files\.2\.name: .*is no file of a backup"):
        restore(empty(tmp_path), backup)
    assert theirs.exists()


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_the_log_of_a_database_that_is_gone_is_in_the_way(backup: Path, tmp_path: Path, end: str):
    """SQLite would apply it to the restored one."""
    log = tmp_path / f"theirs.db{end}"
    log.touch()
    elsewhere = empty(tmp_path, mlflow={"tracking_uri": f"sqlite:///{tmp_path / 'theirs.db'}"})
    with pytest.raises(BackupError, match=rf"is not empty \(theirs\.db{end}\); a restore overwrites nothing"):
        restore(elsewhere, backup)
    assert log.exists()


def test_a_folder_that_cannot_be_listed_ends_the_backup(
    config: CollectorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Artifacts that another user wrote would be missing, and nobody would know."""
    closed = config.data_dir / "artifacts" / "1"
    closed.mkdir(parents=True)
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if path == os.fspath(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may list every folder
    with pytest.raises(BackupError, match=r"artifacts/1: Permission denied; check rights"):
        back_up(config, tmp_path / "backup")
    assert not [*tmp_path.glob("backup*")]


def test_a_name_that_no_manifest_can_hold_is_named(config: CollectorConfig, tmp_path: Path):
    """File systems take any bytes; nothing is left of the backup."""
    artifacts = config.data_dir / "artifacts"
    artifacts.mkdir()
    (artifacts / os.fsdecode(b"caf\xe9")).touch()
    with pytest.raises(BackupError, match=r"artifacts/caf\\udce9': the name is not UTF-8.*; rename the file"):
        back_up(config, tmp_path / "backup")
    assert not [*tmp_path.glob("backup*")]


def test_more_artifacts_than_a_manifest_can_hold_are_refused(
    config: CollectorConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A restore would refuse what was backed up; nothing is left of the backup."""
    monkeypatch.setattr(manifest, "MAX_MANIFEST_BYTES", 1000)
    artifacts = config.data_dir / "artifacts"
    artifacts.mkdir()
    for number in range(10):
        (artifacts / str(number)).touch()
    with pytest.raises(BackupError, match=r"10 artifacts of MLflow are more than .* and 1,000 is the limit"):
        back_up(config, tmp_path / "backup")
    assert not [*tmp_path.glob("backup*")]


def test_a_restore_that_is_not_over_is_no_data_dir(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle, it leaves a mark, with which neither a server nor another restore begins."""

    def in_the_middle(database: Path, *_: str) -> None:
        assert database.exists()
        with pytest.raises(DataDirError, match=r"new: a restore of a backup into it was cut off; empty the folder"):
            lock_data_dir(tmp_path / "new", ["another server's"])

    monkeypatch.setattr("qualitrace_monitors.backup.restore.change_artifact_addresses", in_the_middle)
    restore(empty(tmp_path), backup)
    lock_data_dir(tmp_path / "new", ["another one's"])


def test_a_folder_of_a_running_server_is_refused(backup: Path, tmp_path: Path):
    """Also if it is empty."""
    lock_data_dir(tmp_path / "new", ["monitor"])
    with pytest.raises(DataDirError, match=r"another qualitrace monitor runs on it; stop that one"):
        restore(empty(tmp_path), backup)
    assert not (tmp_path / "new" / "state.db").exists()


def test_root_restores_nothing_that_the_server_could_not_read(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another user owns the folder."""
    new = tmp_path / "new"
    new.mkdir()
    if os.geteuid() == 0:
        os.chown(new, 1, 1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(BackupError, match=rf"new: belongs to the user {new.stat().st_uid}; run the command as"):
        restore(empty(tmp_path), backup)
    assert not [*new.iterdir()]


def test_what_a_crash_left_in_the_log_is_in_the_backup(config: CollectorConfig, tmp_path: Path):
    """The request that was acked last may be in the -wal alone, with no process to read it."""
    journal = SqliteJournal(config.data_dir / "journal.db", 1 << 20)
    journal.append([JournalEntry(signal="traces", payload=b"last", received_at=1.0)])
    crashed = shutil.copytree(config.data_dir, tmp_path / "crashed")
    (crashed / "journal.db-shm").unlink()
    journal.close()
    back_up(CollectorConfig(data_dir=crashed), tmp_path / "backup")
    restore(empty(tmp_path), tmp_path / "backup")
    restored = SqliteJournal(tmp_path / "new" / "journal.db", 1 << 20)
    assert [entry.payload for entry in restored.read(0, 10, 1 << 20)] == [b"P" * 99, b"last"]
