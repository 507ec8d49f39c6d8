"""A child process: started in a session of its own, started again when it ends or hangs, stopped with its children."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from tenacity.wait import wait_exponential

from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.process.startup import PARENT_VARIABLE
from qualitrace_collector.process.watchdog import PIPE_VARIABLE, RESTART_VARIABLE, STACKS_SIGNAL, Watch

_log = logging.getLogger(__name__)

RESTART_WAIT = wait_exponential(multiplier=0.5, max=30)
STABLE_SECONDS = 60.0
"""A process that ran this long did not crash because of how it was started: the waits start over."""
START_FACTOR = 4
"""How many times longer the first sign of life may take: on a busy machine Python takes seconds to load the program."""
STACKS_SECONDS = 1.0
"""How long a process that hangs may take to log where its threads stand."""


@dataclass(slots=True)
class ChildProcess:
    """A process to start, watch and stop; also a context manager that starts it and stops it.

    Attributes:
        name: what messages call it.
        stop_seconds: how long it may take to end after SIGTERM before it is killed.
        pass_fds: file descriptors that it inherits.
        silence_seconds: how long it may go without a sign of life (see `watchdog`) before it counts as hanging; None
            for a program that gives none.
        environment: all of its environment; None for that of this process.
        output: the file that takes its standard output and error; None for those of this process.
        stdin: what it reads from standard input at each start.
    """

    name: str
    command: Sequence[str]
    stop_seconds: float
    pass_fds: Sequence[int] = ()
    silence_seconds: float | None = None
    environment: Mapping[str, str] | None = None
    output: Path | None = None
    stdin: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _watch: Watch | None = field(default=None, init=False)
    _failure: str = field(default="", init=False)
    _crashes: int = field(default=0, init=False)
    _started_at: float = field(default=0.0, init=False)
    _restart_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start the process.

        Raises:
            OSError: the system does not let it, for example for lack of memory.
        """
        environment = os.environ if self.environment is None else self.environment
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self._watch = watch = Watch()
        with ExitStack() as files:
            files.callback(os.close, watch.child_end)
            output: IO[bytes] | None = self.output and files.enter_context(self.output.open("ab"))
            self._process = subprocess.Popen(  # noqa: S603  # our own programs
                self.command,
                stdin=files.enter_context(_file_with(self.stdin)) if self.stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **environment,
                    # The child looks for its parent seconds after the start, when that may have ended already.
                    PARENT_VARIABLE: str(os.getpid()),
                    PIPE_VARIABLE: str(watch.child_end),
                    RESTART_VARIABLE: self._failure,
                },
                pass_fds=[*self.pass_fds, watch.child_end],
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

    @property
    def ready(self) -> bool:
        """Whether the process said that it is ready, since its last start."""
        return self._process is not None and self._watch is not None and self._watch.ready

    @property
    def started(self) -> bool:
        """Whether the process said that it has started, since its last start; it may wait for something, though."""
        return self._process is not None and self._watch is not None and self._watch.started

    def keep_running(self) -> None:
        """Start the process again if it ended or hangs, after a wait that grows with each failure in a row.

        Call it about every second or more often.
        """
        if self._process is None:
            if time.monotonic() >= self._restart_at:
                self._start_again()
            return
        hung = self.end_if_hanging()
        if (code := self.exit_code) is not None:
            self._process, self._failure = None, "hang" if hung else "crash"
            if time.monotonic() - self._started_at >= STABLE_SECONDS:
                self._crashes = 0
            _log.error("%s ended with code %d; starting it again in %g s", self.name, code, self._wait())

    def _start_again(self) -> None:
        try:
            self.start()
        except OSError as error:  # the other processes go on
            _log.error("%s cannot be started: %s; trying again in %g s", self.name, error, self._wait())

    def _wait(self) -> float:
        """Put the next start off, by more after each failure in a row; return the seconds."""
        self._crashes += 1
        wait = seconds_after(self._crashes, RESTART_WAIT)
        self._restart_at = time.monotonic() + wait
        return wait

    def end_if_hanging(self) -> bool:
        """Kill the process if it gave no sign of life for too long, and return whether it did.

        Call it about every second or more often.
        """
        if self._process is None or self._watch is None or self.silence_seconds is None:
            return False
        self._watch.look()
        limit = self.silence_seconds * (1 if self._watch.heard else START_FACTOR)
        if self._watch.silence < limit or self.exit_code is not None:
            return False
        _log.error(
            "%s hangs: it gave no sign of life for %g s and is killed; where its threads stand follows, unless it was "
            "stopped by a signal",
            self.name,
            limit,
        )
        self._process.send_signal(STACKS_SIGNAL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STACKS_SECONDS)
        self._kill()
        return True

    def stop(self) -> None:
        """Ask the process to end; kill it, and what it started, if it does not. Safe twice."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            _log.error("%s did not stop within %g s and is killed", self.name, self.stop_seconds)
            self._kill()

    def _kill(self) -> None:
        """Kill the process and what it started."""
        if self._process is not None and self.exit_code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _file_with(text: str) -> IO[bytes]:
    """Return a file without a name that holds `text`, at its beginning; in memory where the system has such files."""
    in_memory = sys.platform == "linux"  # a full disk must not keep a process from starting
    file: IO[bytes] = os.fdopen(os.memfd_create("stdin"), "w+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115
    file.write(text.encode())
    file.seek(0)
    return file
