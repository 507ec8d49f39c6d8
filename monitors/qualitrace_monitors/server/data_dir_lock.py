"""A lock for each part on a data_dir: two collectors would each store what waits in the journal."""

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path


class DataDirError(Exception):
    """The data_dir cannot be used; the message names it and says what to do."""


def lock_data_dir(data_dir: Path, parts: Sequence[str]) -> list[int]:
    """Lock `data_dir` for these parts.

    Returns:
        File descriptors that hold the locks, also for the processes that inherit them: what a killed supervisor leaves
        behind keeps others away until it has stopped.

    Raises:
        DataDirError: another process holds one of them, or the folder cannot be written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [_lock(data_dir, part) for part in parts]
    except OSError as error:
        raise DataDirError(f"data_dir {data_dir}: {error.strerror}; check its permissions, or set another") from error


def _lock(data_dir: Path, part: str) -> int:
    descriptor = os.open(data_dir / f"{part}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataDirError(
            f"data_dir {data_dir}: another qualitrace {part} runs on it; stop that one, or set another data_dir"
        ) from None
    return descriptor


@contextmanager
def one_at_a_time(path: Path) -> Generator[None]:
    """Run the block while no other process runs one with the same lock file; wait for that."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
