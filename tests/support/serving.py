"""The server as users run it: `qualitrace serve` in its own process, on free ports and a fresh folder."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from support import plain_http
from support.mlflow_db import new_database
from support.ports import free_port
from support.waiting import eventually

QUALITRACE = [sys.executable, "-m", "qualitrace"]


def environment(**more: str) -> dict[str, str]:
    """Return the environment without the settings of OpenTelemetry and qualitrace that the developer may have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "QUALITRACE_"))}
    return kept | more


class Server:
    """`qualitrace serve` with a configuration of the test's; JSON is YAML.

    Args:
        empty: let it make MLflow's tables itself, which takes seconds, instead of giving it a copy of empty ones.
        variables: changes to the environment.
    """

    def __init__(
        self, folder: Path, *, empty: bool = False, variables: Mapping[str, str] | None = None, **config: Any
    ) -> None:
        self.folder = folder
        self._makes_tables = empty or "tracking_uri" in config.get("mlflow", {})
        self._variables = variables or {}
        self.http, self.grpc, self.web = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.config: dict[str, Any] = {
            "listen": {"otlp_http": self.http, "otlp_grpc": self.grpc, "web": self.web},
            "data_dir": str(folder / "data"),
            "sampling": {"rate": 1},
        } | config
        self.config_path = folder / "qualitrace.yaml"
        self.config_path.write_text(json.dumps(self.config))
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{self.http}"

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.folder / 'data' / 'mlflow.db'}"

    def start(self) -> "Server":
        """Start and wait for the line that says it is ready."""
        wanted = len(self.lines) + 1
        self.launch()
        eventually(lambda: len(self.lines) >= wanted or self._ended(), timeout=90)
        return self

    def launch(self, command: Sequence[str] | None = None) -> None:
        """Start without waiting, by `command` if that is not the usual one."""
        data = self.folder / "data"
        if not self._makes_tables and not data.exists():
            data.mkdir(mode=0o700)
            new_database(data)
        log = (self.folder / "serve.log").open("a")
        self.process = subprocess.Popen(
            command or [*QUALITRACE, "serve", "--config", str(self.config_path)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment(**self._variables),
            cwd=self.folder,
            umask=0o022,  # as most hosts have it
        )
        threading.Thread(target=self._collect_lines, daemon=True).start()

    def _ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "serve.log").read_text()[-3000:]
        return False

    def _collect_lines(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def stop(self) -> int:
        """Ask it to end with SIGTERM; return the exit code. Fails if it takes longer than 10 s."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def children(self) -> dict[str, int]:
        """Return the pids of the processes that it supervises, by their names."""
        assert self.process is not None
        pids = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has ended
                pids["receive" if any("collector.receive" in word for word in child.cmdline()) else "work"] = child.pid
        return pids

    def kill(self, *names: str) -> None:
        """Kill supervised processes as a crash does."""
        pids = self.children()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)

    def crash(self) -> None:
        """Kill everything at once, as a power cut does. Does nothing if the server has ended, or never began."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGSTOP)  # so that it starts no child between the list and its own end
        pids = self.children()
        self.process.kill()
        self.process.wait(10)
        for pid in pids.values():
            with suppress(ProcessLookupError):  # it ends with its parent, and may be gone by now
                os.kill(pid, signal.SIGKILL)

    def send(
        self, body: bytes, content_type: str = "application/x-protobuf", path: str = "/v1/traces"
    ) -> httpx.Response:
        """Post an OTLP request."""
        return plain_http.post(self.endpoint + path, content=body, headers={"content-type": content_type}, timeout=30)

    def sample(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name with at least these labels; 0 if there are none."""
        return total(plain_http.get(f"http://{self.web}/metrics", timeout=10).text, name, **labels)


def limit_files(pid: int, size: int) -> None:
    """Let no file of a process grow beyond `size` bytes, as if the disk were full."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def total(metrics: str, name: str, **labels: str) -> float:
    """Return the sum of the samples of that name with at least these labels, in Prometheus' text; 0 if there are none."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
