"""Runs the server's processes: starts them, says when they are ready, restarts what crashed or hangs, stops them."""

import importlib.metadata
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence

from qualitrace_collector.config import ConfigError
from qualitrace_collector.masking import masked
from qualitrace_collector.process.private_files import make_private
from qualitrace_collector.process.startup import log_line, stop_event
from qualitrace_monitors.config import Config
from qualitrace_monitors.reload.channel import ReloadState, Requests
from qualitrace_monitors.reload.configuration import Configuration
from qualitrace_monitors.server.child_process import ChildProcess
from qualitrace_monitors.server.data_dir_lock import lock_data_dir

POLL_SECONDS = 0.2
RECEIVE_STOP_SECONDS = 3.0
WORK_STOP_SECONDS = 6.5  # `work` looks for the signal once a second, and then drains for five
SILENCE_SECONDS = 30.0
"""How long a process may go without a sign of life. Each second there is one, whatever the process waits for, so only
one that is stopped, starved or stuck in a library's code is silent."""
RELOAD_SECONDS = 60.0
"""How long a process may take until it does its work with another configuration: importing MLflow takes up to ten, on a
busy machine several times as many."""

_log = logging.getLogger(__name__)


def supervise(configuration: Configuration, parts: Sequence[str], requests: Requests) -> int:
    """Run the processes of `parts` (collector, monitor) until SIGTERM or SIGINT.

    Args:
        requests: says when to read the configuration again.

    Returns:
        The exit code: 1 if a process exited before the first ready line.

    Raises:
        DataDirError: the data_dir is in use, or cannot be used.
    """
    locks = lock_data_dir(configuration.config.data_dir, parts)
    stop = stop_event()
    make_private(configuration.config.data_dir)
    return Supervisor(configuration, parts, locks, requests, stop).run()


class Supervisor:
    """The processes, and the configuration that they run with.

    Args:
        locks: file descriptors that the processes must inherit.
        requests: says when to read the configuration again.
        stop: ends `run`.
    """

    def __init__(
        self,
        configuration: Configuration,
        parts: Sequence[str],
        locks: Sequence[int],
        requests: Requests,
        stop: threading.Event,
    ) -> None:
        self._configuration, self._parts, self._locks = configuration, parts, locks
        self._requests, self._stop = requests, stop
        self._reloaded_at = time.time()
        requests.remember(ReloadState(successful=True, succeeded_at=self._reloaded_at))
        names = ("receive", "work") if "collector" in parts else ("work",)
        self._children = {name: self._child(name, configuration) for name in names}

    def run(self) -> int:
        """Run the processes; see `supervise`."""
        announced = False
        try:
            for child in self._children.values():
                child.start()
            while not self._stop.wait(POLL_SECONDS):
                children = self._children.values()
                # A child that a signal killed has said nothing. It is started again, so that what kills it is found.
                if not announced and any(child.exit_code is not None and child.exit_code >= 0 for child in children):
                    return 1
                for child in children:
                    child.keep_running()
                if not announced and all(child.ready for child in children):
                    print(log_line(_ready_line(self._configuration.config, self._parts)), flush=True)
                    announced = True
                if self._requests.take():
                    self._reload()
        finally:
            # The doors last: until then requests are acked, so that at a restart senders wait for the start alone, and
            # not for what `work` still finishes.
            for child in reversed(self._children.values()):
                child.stop()
        return 0

    def _child(self, name: str, configuration: Configuration) -> ChildProcess:
        # Not the file itself: it may say something else when the process is started again.
        options, text = ([], "") if configuration.path is None else (["--config", "/dev/stdin"], configuration.text)
        if name == "receive":
            command = [sys.executable, "-m", "qualitrace_collector.receive", *options]
            return ChildProcess(name, command, RECEIVE_STOP_SECONDS, self._locks, SILENCE_SECONDS, stdin=text)
        command = [sys.executable, "-m", "qualitrace_monitors.server.work", "--parts", ",".join(self._parts), *options]
        descriptors = [*self._locks, self._requests.child_end]
        return ChildProcess(name, command, WORK_STOP_SECONDS, descriptors, SILENCE_SECONDS, stdin=text)

    def _reload(self) -> None:
        """Read the configuration again, and restart what it concerns; if that fails, go on as before."""
        before = self._configuration
        try:
            after = before.read_again()
        except ConfigError as error:
            for mistake in error.mistakes:
                _log.error("%s: %s", error.source, mistake)
            _log.error("%s is refused; the configuration before stays", error.source)
            refused = ReloadState(successful=False, succeeded_at=self._reloaded_at, mistakes=error.mistakes)
            self._requests.answer(refused)
            return
        concerned = [name for name in before.concerned(after) if name in self._children]
        now = time.time()
        self._requests.answer(ReloadState(successful=True, succeeded_at=now))  # before `work` ends, which asked
        for number, name in enumerate(concerned, 1):
            if failure := self._replace(name, before, after):
                self._roll_back(concerned[:number], failure)
                return
        if self._stop.is_set():
            return
        self._configuration, self._reloaded_at = after, now
        _log.info(
            "%s was reloaded; started again: %s", after.path, ", ".join(concerned) or "nothing, as it is the same"
        )

    def _replace(self, name: str, before: Configuration, after: Configuration) -> str:
        """Start a process with another configuration; return why it does not do its work then, empty if it does."""
        self._children[name].stop()
        child = self._children[name] = self._child(name, after)
        # MLflow may be away just now. Whether it answers matters only where its own settings were changed.
        asks_mlflow = before.config.mlflow != after.config.mlflow
        works: Callable[[], bool] = lambda: child.ready or (child.started and not asks_mlflow)  # noqa: E731
        deadline = time.monotonic() + RELOAD_SECONDS
        while not self._stop.is_set():
            if child.exit_code is not None and child.exit_code >= 0:
                return f"{name} ended with code {child.exit_code}"
            if time.monotonic() > deadline:
                return f"{name} was not ready within {RELOAD_SECONDS:g} s"
            for each in self._children.values():
                each.keep_running()
            if works():
                break
            self._stop.wait(POLL_SECONDS)
        return ""

    def _roll_back(self, names: Sequence[str], failure: str) -> None:
        """Let processes run with the configuration before."""
        _log.error("%s with the new %s; back to the configuration before", failure, self._configuration.path)
        self._requests.answer(ReloadState(successful=False, succeeded_at=self._reloaded_at, mistakes=(failure,)))
        for name in names:
            self._children[name].stop()
            self._children[name] = self._child(name, self._configuration)  # the next `keep_running` starts it


def _ready_line(config: Config, parts: Sequence[str]) -> str:
    listen = config.listen
    doors = f"OTLP/HTTP {listen.otlp_http}, OTLP/gRPC {listen.otlp_grpc}, " if "collector" in parts else ""
    version = importlib.metadata.version("qualitrace")
    return f"qualitrace ready: version {version}, {doors}web http://{listen.web}, MLflow {masked(config.tracking_uri)}"
