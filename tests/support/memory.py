"""What processes take of memory, as Linux reports it."""

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

SAMPLE_SECONDS = 0.25
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Return the bytes of memory that a process takes now; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def peak(pid: int) -> int:
    """Return the most bytes of memory that a process took; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


class Memory:
    """Watches processes until it is stopped, or the block ends.

    Attributes:
        sizes: by process, what it took at each look, in MB.
        largest: by process, the most that it took from the first look on, in MB.

    Args:
        pids: returns the processes of now, by name.
    """

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self.sizes: dict[str, list[float]] = defaultdict(list)
        self.largest: dict[str, float] = {}
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Self:
        for pid in self._pids().values():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the peak
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        with suppress(psutil.NoSuchProcess):  # the server ended meanwhile
            for name, pid in self._pids().items():
                if size := resident(pid):
                    self.sizes[name].append(size / 1e6)
                    self.largest[name] = max(self.largest.get(name, 0.0), peak(pid) / 1e6)
