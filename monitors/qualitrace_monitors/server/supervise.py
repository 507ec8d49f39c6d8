"""Runs the server's processes: starts them, says when they are ready, restarts what crashed, stops them in order."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from qualitrace_collector.config import Config
from qualitrace_collector.config.values import connect_address, without_credentials
from qualitrace_monitors.server.data_dir_lock import DataDirError, claim

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
RECEIVE_STOP_SECONDS = 3.0
WORK_STOP_SECONDS = 6.5
MAX_RESTART_SECONDS = 30.0
STABLE_SECONDS = 60.0


@dataclass(slots=True)
class Child:
    """A process to keep running.

    Attributes:
        stop_seconds: how long it may take to end after SIGTERM before it is killed.
        locks: file descriptors that it is to hold, too.
        crashes: in a row, without a stable minute in between.
    """

    name: str
    command: Sequence[str]
    stop_seconds: float
    locks: Sequence[int]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    crashes: int = 0

    def start(self) -> None:
        """Start the process in a session of its own, so that the terminal's Ctrl-C reaches only the supervisor."""
        self.process = subprocess.Popen(  # noqa: S603  # our own modules
            self.command, start_new_session=True, pass_fds=self.locks
        )
        self.started_at = time.monotonic()

    def watch(self) -> None:
        """Restart the process if it ended, each time a little later."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.crashes = self.crashes + 1 if now - self.started_at < STABLE_SECONDS else 1
            wait = min(MAX_RESTART_SECONDS, 2.0 ** (self.crashes - 1) / 2)
            _log.error("%s ended with code %d; starting it again in %g s", self.name, code, wait)
            self.process, self.restart_at = None, now + wait
        elif now >= self.restart_at:
            self.start()

    def stop(self) -> None:
        """Ask the process to end; kill it if it does not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            _log.error("%s did not stop within %g s and is killed", self.name, self.stop_seconds)
            self.process.kill()
            self.process.wait()


def stop_event() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def supervise(config: Config, config_path: Path | None, parts: Sequence[str]) -> int:
    """Run the processes for `parts` (collector, monitor) until SIGTERM or SIGINT; return the exit code."""
    stop = stop_event()
    try:
        children = _children(config_path, parts, claim(config.data_dir, parts))
    except DataDirError as error:
        print(f"qualitrace: {error}", file=sys.stderr)
        return 1
    for child in children:
        child.start()
    try:
        if not _wait_until_ready(config, children, stop):
            return 0 if stop.is_set() else 1
        print(_ready_line(config, parts), flush=True)
        while not stop.wait(POLL_SECONDS):
            for child in children:
                child.watch()
    finally:
        for child in children:
            child.stop()
    return 0


def _children(config_path: Path | None, parts: Sequence[str], locks: Sequence[int]) -> list[Child]:
    """List the processes in the order in which they are to stop: refuse first, then finish the work."""
    options = [] if config_path is None else ["--config", str(config_path)]
    work = [sys.executable, "-m", "qualitrace_monitors.server.work", "--parts", ",".join(parts), *options]
    children = [Child("work", work, WORK_STOP_SECONDS, locks)]
    if "collector" in parts:
        receive = [sys.executable, "-m", "qualitrace_collector.receive", *options]
        children.insert(0, Child("receive", receive, RECEIVE_STOP_SECONDS, locks))
    return children


def _wait_until_ready(config: Config, children: Sequence[Child], stop: threading.Event) -> bool:
    """Wait for the web port's /readyz; a child that ends meanwhile has said why, and ends the wait."""
    pids = {child.process.pid for child in children if child.process is not None}
    while not stop.wait(POLL_SECONDS):
        if any(child.process is not None and child.process.poll() is not None for child in children):
            return False
        if _ready_process(config) in pids:
            return True
    return False


def _ready_process(config: Config) -> int | None:
    """Return which process is ready behind the web port: another server may have taken the port before ours."""
    host, port = connect_address(config.listen.web)
    token = config.listen.web_token
    headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
    try:
        answer = httpx.get(url, headers=headers, timeout=2, trust_env=False)  # no proxy reaches our loopback
        return answer.json()["pid"] if answer.is_success else None
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None


def _ready_line(config: Config, parts: Sequence[str]) -> str:
    listen = config.listen
    doors = f"OTLP/HTTP {listen.otlp_http}, OTLP/gRPC {listen.otlp_grpc}, " if "collector" in parts else ""
    return f"qualitrace ready: {doors}web http://{listen.web}, MLflow {without_credentials(config.tracking_uri)}"
