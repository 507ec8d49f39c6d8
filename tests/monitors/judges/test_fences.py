"""The secret of the fences: made once for a data folder, and readable by its owner alone."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qualitrace_monitors.judges.llm.fences import LENGTH, FenceKeyError, key_of, new_key


def test_a_data_folder_keeps_its_secret(tmp_path: Path) -> None:
    """The same after a restart, another one in another folder, and nobody else may read it."""
    key = key_of(tmp_path / "a")
    assert len(key) == LENGTH
    assert key_of(tmp_path / "a") == key
    assert key_of(tmp_path / "b") != key
    (file,) = (tmp_path / "a").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_that_make_it_at_once_agree(tmp_path: Path) -> None:
    """Whoever is first wins, and nobody reads half of it."""
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: key_of(tmp_path), range(64)))
    assert len(keys) == 1


def test_a_run_without_a_folder_has_a_secret_of_its_own() -> None:
    """Made anew each time."""
    assert len({new_key() for _ in range(8)}) == 8


def test_a_damaged_secret_is_told(tmp_path: Path) -> None:
    """With its file and the remedy."""
    key_of(tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"short")
    with pytest.raises(FenceKeyError, match=f"{file.name}: is damaged .*; delete it"):
        key_of(tmp_path)
