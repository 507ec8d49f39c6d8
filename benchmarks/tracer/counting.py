"""A traced application whose instructions are counted: other than times, they are the same on a busy machine.

Valgrind emulates the process, some 50 times slower than it runs by itself, and counts what all its threads execute
outside the kernel.
"""

import re
import shutil
import subprocess
from pathlib import Path

from tracer.peers import Peer
from tracer.running import Application, ApplicationError

_COUNTER = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=counts")
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    # The emulated process is slow, but its clock is not. What is sent by the clock would go out in small pieces; so all
    # is sent at the end of a turn, as when the same calls take a tenth of a second.
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "QUALITRACE_SCHEDULE_DELAY": "600",
}
_TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)


def can_count() -> bool:
    """Return whether this machine has Valgrind."""
    return shutil.which("valgrind") is not None and shutil.which("callgrind_control") is not None


class CountedApplication(Application):
    """A running application that is emulated; what its work costs is counted in instructions."""

    def __init__(self, peer: Peer, python: Path, provider: str, collector: str) -> None:
        super().__init__(peer, python, provider, collector, _COUNTER, _ENVIRONMENT)
        self._counts = 0

    def warm_up(self, calls: int) -> None:
        """Work, then begin to count: neither the start nor this is of interest."""
        super().warm_up(calls)
        self._control("--instr=on")

    def work(self, work: str, calls: int, *, flush: bool) -> float:
        """Return the instructions for that many calls, including those of the process's threads.

        Raises:
            ApplicationError: it ended, or cannot be counted.
        """
        self._control("--zero")
        super().work(work, calls, flush=flush)
        self._control("--dump")
        self._counts += 1
        found = _TOTALS.search((self.folder / f"counts.{self._counts}").read_text())
        if found is None:
            raise ApplicationError(f"{self.peer.name}: callgrind wrote no totals")
        return int(found[1])

    def _control(self, command: str) -> None:
        words = ["callgrind_control", command, str(self.pid)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode or "OK" not in done.stdout:
            raise ApplicationError(f"{self.peer.name}: callgrind_control {command}: {done.stdout}{done.stderr}")
