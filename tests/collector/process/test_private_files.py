"""What lay in a data_dir before is made private at the start, and what cannot be is named."""

import logging
from pathlib import Path

import pytest

from qualitrace_collector.process.private_files import make_private

KEPT = (
    "journal.db",
    "state.db",
    "state.db-wal",
    "state.db-shm",
    "mlflow.db",
    "mlflow.db-wal",
    "collector.lock",
    "fences.key",
)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mode & 0o7777 for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Make a folder as systemd or a volume has it, with files of an earlier release."""
    folder = tmp_path / "data"
    (deep := folder / "artifacts" / "1" / "traces").mkdir(parents=True)
    for path in [*(folder / name for name in KEPT), folder / "notes.txt", deep / "attachment.json"]:
        path.write_text("x")
        path.chmod(0o644)
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    return folder


def test_what_lies_there_becomes_its_owners_alone(data_dir: Path, caplog: pytest.LogCaptureFixture):
    """Databases with their -wal and -shm, locks, the whole tree of artifacts and the folder; other files stay."""
    make_private(data_dir)
    files = dict.fromkeys([*KEPT, "artifacts/1/traces/attachment.json"], 0o600)
    folders = dict.fromkeys([".", "artifacts", "artifacts/1", "artifacts/1/traces"], 0o700)
    assert modes(data_dir) == files | folders | {"notes.txt": 0o644}
    assert caplog.text == ""


def test_a_folder_that_users_share_stays_and_is_named(data_dir: Path, caplog: pytest.LogCaptureFixture):
    """As /tmp is shared: its mode would lock others out. The files in it become private all the same."""
    data_dir.chmod(0o1777)
    make_private(data_dir)
    found = modes(data_dir)
    assert found["."] == 0o1777
    assert found["state.db"] == 0o600
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{data_dir} (mode 1777)" in record.getMessage()
    assert "own data_dir" in record.getMessage()


def test_links_are_not_followed(data_dir: Path, tmp_path: Path):
    """Who could write into the folder could otherwise have any file's mode changed."""
    (outside := tmp_path / "outside").write_text("x")
    outside.chmod(0o644)
    (data_dir / "linked.db").symlink_to(outside)
    (data_dir / "artifacts" / "linked").symlink_to(outside)
    make_private(data_dir)
    assert outside.stat().st_mode & 0o777 == 0o644


def test_a_data_dir_that_is_not_there_is_not_made(tmp_path: Path):
    """A command that reads a configuration makes no folder."""
    make_private(tmp_path / "none")
    assert not (tmp_path / "none").exists()
