"""Keeps files for their owner alone: those that are made from now on, and those that lie in a data_dir already.

A data_dir is often there before: systemd makes one for `StateDirectory`, container platforms mount one, and an earlier
release left files in it. What is in it are prompts and answers.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)

_OTHERS = 0o077
# Databases with their -wal and -shm, locks, and the secret of the judges' fences; other files there are not ours.
_NAMES = ("*.db*", "*.lock", "fences.key")
_SHOWN = 3


def create_private_files() -> None:
    """Let this process and its children make files with mode 0600 and folders with 0700; call it first."""
    os.umask(_OTHERS)


def make_private(data_dir: Path) -> None:
    """Take the rights of group and others from `data_dir` and what qualitrace and MLflow keep there; safe again.

    What cannot be changed is logged: another user owns it, or the file system has no modes.
    """
    open_to_others = [path for path in _kept_in(data_dir) if not _is_private(path)]
    if open_to_others:
        named = ", ".join(f"{path} (mode {path.lstat().st_mode & 0o7777:o})" for path in open_to_others[:_SHOWN])
        more = f" and {len(open_to_others) - _SHOWN} more" if open_to_others[_SHOWN:] else ""
        _log.warning(
            "others may read %s%s, and the mode cannot be changed; "
            "let the user that runs qualitrace own data_dir, on a file system with modes",
            named,
            more,
        )


def _kept_in(data_dir: Path) -> Iterator[Path]:
    if not data_dir.is_dir():
        return
    # The content of a folder comes before the folder itself: what a crash leaves undone is found again.
    artifacts = data_dir / "artifacts"
    if artifacts.is_dir() and artifacts.lstat().st_mode & _OTHERS:  # else what is in it cannot be reached
        for folder, _, files in os.walk(artifacts, topdown=False):
            yield from (Path(folder, name) for name in files)
            yield Path(folder)
    for pattern in _NAMES:
        yield from data_dir.glob(pattern)
    yield data_dir.resolve()


def _is_private(path: Path) -> bool:
    """Make a file or folder private; return whether it is."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & _OTHERS:
            return True
        if not mode & stat.S_ISVTX:  # a folder that users share, such as /tmp
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        return not path.lstat().st_mode & _OTHERS  # some file systems ignore it and report success
    except FileNotFoundError:  # SQLite deletes a -wal when the last process closes the database
        return True
    except OSError:
        return False
