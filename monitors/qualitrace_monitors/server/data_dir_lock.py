"""Locks for each part on a data_dir: two collectors would each store what waits in the journal.

`PART.supervisor.lock` is held by the supervisor alone, `PART.lock` by its processes, too. So one that starts after a
supervisor was killed can tell that the rest is ending, and waits for it.
"""

import fcntl
import logging
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger(__name__)

PREDECESSOR_SECONDS = 15.0
"""How long a start waits for what a killed supervisor left running. It ends at once, unless the machine is busy."""
POLL_SECONDS = 0.1
UNFINISHED_RESTORE = "restore.unfinished"
"""The file that is in a data_dir while a backup is restored into it."""


class DataDirError(Exception):
    """The data_dir cannot be used; the message names it and says what to do."""


def lock_data_dir(data_dir: Path, parts: Sequence[str]) -> list[int]:
    """Lock `data_dir` for these parts; wait for the processes that a killed supervisor left behind.

    Returns:
        File descriptors of the locks that the parts' processes must inherit.

    Raises:
        DataDirError: another process holds one of them, the folder cannot be written, or a restore was cut off.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in parts:
            if not _lock(_open(data_dir / f"{part}.supervisor.lock")):  # held until this process ends
                raise DataDirError(
                    f"data_dir {data_dir}: another qualitrace {part} runs on it; stop that one, or set another data_dir"
                )
        if (data_dir / UNFINISHED_RESTORE).exists():
            raise DataDirError(
                f"data_dir {data_dir}: a restore of a backup into it was cut off; empty the folder, and restore again"
            )
        descriptors = {part: _open(data_dir / f"{part}.lock") for part in parts}
        deadline = time.monotonic() + PREDECESSOR_SECONDS
        for part, descriptor in descriptors.items():
            _wait_for_predecessor(data_dir, part, descriptor, deadline)
    except OSError as error:
        raise DataDirError(f"data_dir {data_dir}: {error.strerror}; check its permissions, or set another") from error
    return list(descriptors.values())


def _wait_for_predecessor(data_dir: Path, part: str, descriptor: int, deadline: float) -> None:
    if _lock(descriptor):
        return
    _log.warning("data_dir %s: waiting for what a qualitrace %s that was killed left running", data_dir, part)
    while not _lock(descriptor):
        if time.monotonic() > deadline:
            raise DataDirError(
                f"data_dir {data_dir}: what a qualitrace {part} that was killed left running has not ended for "
                f"{PREDECESSOR_SECONDS:g} s; kill it (fuser {data_dir / part}.lock shows it), or set another data_dir"
            )
        time.sleep(POLL_SECONDS)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int) -> bool:
    """Take the lock unless another process holds it; return whether it was taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def one_at_a_time(path: Path) -> Generator[None]:
    """Run the block while no other process runs one with the same lock file; wait for that."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
