"""A child process: started in a session of its own, started again when it ends, stopped with its own children."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from tenacity.wait import wait_exponential

from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.process.startup import PARENT_VARIABLE

_log = logging.getLogger(__name__)

RESTART_WAIT = wait_exponential(multiplier=0.5, max=30)
STABLE_SECONDS = 60.0
"""A process that ran this long did not crash because of how it was started: the waits begin anew."""


@dataclass(slots=True)
class ChildProcess:
    """A process to start, watch and stop; also a context manager that starts it and stops it.

    Attributes:
        name: what messages call it.
        stop_seconds: how long it may take to end after SIGTERM before it is killed.
        pass_fds: file descriptors that it inherits.
        environment: all of its environment; None for that of this process.
        output: the file that takes its standard output and error; None for those of this process.
    """

    name: str
    command: Sequence[str]
    stop_seconds: float
    pass_fds: Sequence[int] = ()
    environment: Mapping[str, str] | None = None
    output: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _crashes: int = field(default=0, init=False)
    _started_at: float = field(default=0.0, init=False)
    _restart_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start the process."""
        environment = os.environ if self.environment is None else self.environment
        with ExitStack() as files:
            output: IO[bytes] | None = self.output and files.enter_context(self.output.open("ab"))
            self._process = subprocess.Popen(  # noqa: S603  # our own programs
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # The child looks for its parent seconds after the start, when that may have ended already.
                env={**environment, PARENT_VARIABLE: str(os.getpid())},
                pass_fds=self.pass_fds,
                start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone, which stops in its own order
            )
        self._started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The id of the process; None before the start, and between a crash and the next start."""
        return self._process and self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The code with which the process ended; None if it runs."""
        return self._process and self._process.poll()

    def restart_if_ended(self) -> None:
        """Start the process again if it ended, after a wait that grows with each crash in a row; call it repeatedly."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._restart_at:
                self.start()
        elif (code := self.exit_code) is not None:
            self._crashes = self._crashes + 1 if now - self._started_at < STABLE_SECONDS else 1
            wait = seconds_after(self._crashes, RESTART_WAIT)
            _log.error("%s ended with code %d; starting it again in %g s", self.name, code, wait)
            self._process, self._restart_at = None, now + wait

    def stop(self) -> None:
        """Ask the process to end; kill it, and what it started, if it does not. Safe twice."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            _log.error("%s did not stop within %g s and is killed", self.name, self.stop_seconds)
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
