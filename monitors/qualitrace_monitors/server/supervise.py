"""Runs the server's processes: starts them, says when they are ready, restarts what crashed or hangs, stops them."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from qualitrace_collector.masking import masked
from qualitrace_collector.process.private_files import make_private
from qualitrace_collector.process.startup import stop_event
from qualitrace_monitors.config import Config
from qualitrace_monitors.server.child_process import ChildProcess
from qualitrace_monitors.server.data_dir_lock import lock_data_dir

POLL_SECONDS = 0.2
RECEIVE_STOP_SECONDS = 3.0
WORK_STOP_SECONDS = 6.5  # `work` looks for the signal once a second, and then drains for five
SILENCE_SECONDS = 30.0
"""How long a process may go without a sign of life. Each second there is one, whatever the process waits for, so only
one that is stopped, starved or stuck in a library's code is silent."""


def supervise(config: Config, config_path: Path | None, parts: Sequence[str]) -> int:
    """Run the processes of `parts` (collector, monitor) until SIGTERM or SIGINT.

    Returns:
        The exit code: 1 if a process exited before the first ready line.

    Raises:
        DataDirError: the data_dir is in use, or cannot be used.
    """
    locks = lock_data_dir(config.data_dir, parts)
    stop = stop_event()
    make_private(config.data_dir)
    children = _children(config_path, parts, locks)
    for child in children:
        child.start()
    try:
        if not _wait_until_ready(children, stop):
            return 0 if stop.is_set() else 1
        print(_ready_line(config, parts), flush=True)
        while not stop.wait(POLL_SECONDS):
            for child in children:
                child.keep_running()
    finally:
        for child in children:
            child.stop()
    return 0


def _children(config_path: Path | None, parts: Sequence[str], locks: Sequence[int]) -> list[ChildProcess]:
    """Return the processes in the order in which they stop: the doors refuse first, then the work is finished."""
    options = [] if config_path is None else ["--config", str(config_path)]
    work = [sys.executable, "-m", "qualitrace_monitors.server.work", "--parts", ",".join(parts), *options]
    children = [ChildProcess("work", work, WORK_STOP_SECONDS, locks, SILENCE_SECONDS)]
    if "collector" in parts:
        receive = [sys.executable, "-m", "qualitrace_collector.receive", *options]
        children.insert(0, ChildProcess("receive", receive, RECEIVE_STOP_SECONDS, locks, SILENCE_SECONDS))
    return children


def _wait_until_ready(children: Sequence[ChildProcess], stop: threading.Event) -> bool:
    """Wait until all are ready; return False at a stop, and if a child exits, which then has said why.

    A child that a signal killed has said nothing. It is started again, so that what kills it is found.
    """
    while not stop.wait(POLL_SECONDS):
        for child in children:
            if child.exit_code is not None and child.exit_code >= 0:
                return False
            child.keep_running()
        if all(child.ready for child in children):
            return True
    return False


def _ready_line(config: Config, parts: Sequence[str]) -> str:
    listen = config.listen
    doors = f"OTLP/HTTP {listen.otlp_http}, OTLP/gRPC {listen.otlp_grpc}, " if "collector" in parts else ""
    return f"qualitrace ready: {doors}web http://{listen.web}, MLflow {masked(config.tracking_uri)}"
