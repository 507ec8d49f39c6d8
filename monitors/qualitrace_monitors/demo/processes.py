"""Child processes that never outlive the demo."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from qualitrace_monitors.demo.failure import DemoFailed

STOP_SECONDS = 15.0
_FOREIGN_SETTINGS = ("OTEL_", "QUALITRACE_", "OPENAI_", "MLFLOW_")


def clean_environment(**settings: str) -> dict[str, str]:
    """Return this process' environment without what would redirect the demo, and with `settings`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN_SETTINGS)}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1", **settings}


class Child:
    """A process in a group of its own, with its output in a log file; stopped when the block ends.

    Args:
        name: for messages.
        command: the program and its arguments.
        log: the file that takes its standard output and error.
        environment: all of its environment.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.name = name
        self._command = [*_dies_with_parent(), *command]
        self._log = log
        self._environment = environment

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command is the demo's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise DemoFailed, with the end of the log, if the process has ended."""
        if (status := self._process.poll()) is not None:
            raise DemoFailed(f"{self.name} ended with status {status}.\n{self.log_tail()}")

    def wait_until(self, ready: Callable[[], bool], seconds: float, pause: Callable[[float], None]) -> None:
        """Ask `ready` ten times a second until it says yes.

        Raises:
            DemoFailed: the process ended, or was not ready within `seconds`.
        """
        for _ in range(int(seconds * 10)):
            self.check()
            if ready():
                return
            pause(0.1)
        raise DemoFailed(f"{self.name} was not ready within {seconds:g} s.\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """Return where its log is and the last lines of it."""
        text = self._log.read_text(encoding="utf-8", errors="replace")
        return "\n".join([f"{self._log} ends with:", *text.splitlines()[-lines:]])


def _dies_with_parent() -> list[str]:
    """Linux can tie a child to its parent's life, even if that is killed; elsewhere `__exit__` must do."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
