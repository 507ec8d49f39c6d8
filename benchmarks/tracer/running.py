"""A traced application as a process of its own, which works when it is told to."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from tracer.peers import Peer

APPLICATION = Path(__file__).with_name("application.py")
_OTHERS = ("OTEL_", "QUALITRACE_", "PYTHON", "LANGFUSE_", "OPENLIT_", "PHOENIX_", "LOGFIRE_", "TRACELOOP_", "MLFLOW_")
MEBIBYTE = 1 << 20
WORK = ("chat", "stream")


class ApplicationError(Exception):
    """An application did not start, or ended; the message has the end of what it wrote to standard error."""


class Application:
    """A running application; killed at the end of a `with` block if it still runs.

    Attributes:
        start_cpu: seconds of CPU that importing and starting the tracer took; the client was imported before.
        version: of the tracer.
        calls: how many it has made.
        pid: of its process.
        folder: its working directory.

    Args:
        peer: the tracer.
        python: the interpreter of its environment.
        provider: base URL of the provider that it calls.
        collector: the address that its tracer sends to.
        runner: a command that runs the interpreter.
        variables: more of its environment.

    Raises:
        ApplicationError: it did not start.
    """

    def __init__(
        self,
        peer: Peer,
        python: Path,
        provider: str,
        collector: str,
        runner: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.peer = peer
        self.calls = 0
        self._folder = tempfile.TemporaryDirectory(prefix="qualitrace-bench-")
        self.folder = Path(self._folder.name)
        self._log = self.folder / "stderr"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        with self._log.open("w") as errors:
            self._process = subprocess.Popen(
                [*runner, str(python), str(APPLICATION), peer.start, provider, collector, peer.distribution],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self.folder,
                env={**kept, "HOME": self._folder.name, **(variables or {})},
            )
        self.pid = self._process.pid
        try:
            started = self._answer()
        except ApplicationError:
            self.__exit__()
            raise
        self.start_cpu: float = started["cpu"]
        self.version: str = started["version"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.__exit__(None, None, None)  # closes the pipes, and waits
        self._folder.cleanup()

    def warm_up(self, calls: int) -> None:
        """Make that many calls of each kind, and send all."""
        for work in WORK:
            self._work(work, calls, flush=True)

    def work(self, work: str, calls: int, *, flush: bool) -> float:
        """Return the seconds of CPU of the process for that many calls, including those of its threads.

        Args:
            work: `chat` or `stream`.
            calls: one after the other.
            flush: whether all that is queued is sent, too.

        Raises:
            ApplicationError: it ended.
        """
        return self._work(work, calls, flush=flush)

    def _work(self, work: str, calls: int, *, flush: bool) -> float:
        assert self._process.stdin
        print(json.dumps({"work": work, "calls": calls, "flush": flush}), file=self._process.stdin, flush=True)
        self.calls += calls
        return self._answer()["cpu"]

    def rss_mib(self) -> float:
        """Return its resident memory."""
        return psutil.Process(self.pid).memory_info().rss / MEBIBYTE

    def seconds_to_end(self, most: float) -> float:
        """Let it end; return how long that took, infinite if it is longer than `most`."""
        assert self._process.stdin
        started = time.perf_counter()
        self._process.stdin.close()
        try:
            self._process.wait(most)
        except subprocess.TimeoutExpired:
            return float("inf")
        return time.perf_counter() - started

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text(errors="replace")[-2000:]
            raise ApplicationError(f"{self.peer.name}: the application ended; the end of what it said:\n{said}")
        return json.loads(line)
