"""The servers to compare, each as its users run it, on a fresh folder and free loopback ports."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import sqlalchemy
from sqlalchemy.exc import OperationalError

from storing import new_database

START_SECONDS = 180.0
STOP_SECONDS = 15.0
LOCK_SECONDS = 180.0
# Job execution scores and archives; without it the tracking server is the leaner peer. With the catalog's address,
# MLflow would wait for the network at its first model span.
_MLFLOW_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class ServerError(Exception):
    """A server did not start, or failed under load; the message says which and how."""


@dataclass(frozen=True)
class Launch:
    """How to start a server.

    Attributes:
        health: path on `health_address` that answers once it is ready; None means that a connection suffices.
        database: URI of the MLflow database that its traces end up in; None if it does not store them itself.
    """

    command: Sequence[str]
    address: str
    health_address: str
    health: str | None
    database: str | None


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    process: psutil.Process
    database: str | None
    log: Path

    def error(self, what: str) -> ServerError:
        """Return an error that says `what` happened, with the end of the server's log."""
        return ServerError(f"{what}; the end of its log:\n{self.log.read_text()[-2000:]}")

    def stored(self) -> int:
        """Return how many traces are in its MLflow database; waits while the server writes a large batch.

        Raises:
            ServerError: it holds the database for longer than three minutes.
        """
        if self.database is None:
            raise ValueError("this server stores no traces")
        waiting = {"timeout": LOCK_SECONDS} if self.database.startswith("sqlite") else {}
        engine = sqlalchemy.create_engine(self.database, connect_args=waiting, poolclass=sqlalchemy.NullPool)
        try:
            with engine.connect() as connection:
                return int(connection.execute(sqlalchemy.text("SELECT count(*) FROM trace_info")).scalar_one())
        except OperationalError as error:
            raise self.error(f"{self.database}: {error}") from error

    def tree(self) -> list[psutil.Process]:
        """Return its processes."""
        return [self.process, *self.process.children(recursive=True)]


def _qualitrace(folder: Path, module: Sequence[str], database: str | None, **sections: object) -> Launch:
    http, grpc, web = (f"127.0.0.1:{_free_port()}" for _ in range(3))
    listen = {"otlp_http": http, "otlp_grpc": grpc, "web": web}
    config: dict[str, object] = {"listen": listen, "data_dir": str(folder)} | sections
    if database:
        config["mlflow"] = {"tracking_uri": database}
    path = folder / "qualitrace.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", *module, "--config", str(path)]
    if not database:
        return Launch(command, http, http, None, None)
    return Launch(command, http, web, "/readyz", database)


def _mlflow(folder: Path, database: str, *options: str) -> Launch:
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *options]
    command += ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    address = f"127.0.0.1:{port}"
    return Launch(command, address, address, "/health", database)


_ENDLESS = {"max_size": "1TiB"}  # alone, nothing ever settles what receive journals
PEERS = ("mlflow", "mlflow-1")
TARGETS: dict[str, tuple[str, Callable[[Path, str], Launch]]] = {
    "receive": (
        "qualitrace's receive process alone: OTLP in, journal synced to the disk",
        lambda folder, _: _qualitrace(folder, ["qualitrace_collector.receive"], None, journal=_ENDLESS),
    ),
    "serve": (
        "`qualitrace serve` with judges: []",
        lambda folder, database: _qualitrace(folder, ["qualitrace", "serve"], database, judges=[]),
    ),
    "serve-judging": (
        "`qualitrace serve` as it comes: five local judges on 10 % of the traces",
        lambda folder, database: _qualitrace(folder, ["qualitrace", "serve"], database),
    ),
    "mlflow": ("`mlflow server` with its default of 4 workers, job execution off", _mlflow),
    "mlflow-1": (
        "the same with --workers 1",
        lambda folder, database: _mlflow(folder, database, "--workers", "1"),
    ),
}
"""What can be measured: a sentence on it, and how to start it in a folder on a database."""


@contextmanager
def running(target: str, folder: Path, postgres: str | None = None) -> Generator[Server]:
    """Run a target in `folder` until the block ends, on a new database there or of the server `postgres`.

    Raises:
        ServerError: it ended, or was not ready within three minutes.
    """
    folder.mkdir()
    database = new_database(folder, "postgresql" if postgres else "sqlite", "mlflow", postgres)
    launch = TARGETS[target][1](folder, database)
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            launch.command, stdout=output, stderr=output, cwd=folder, env=os.environ | _MLFLOW_ENVIRONMENT
        )
    server = Server(launch.address, psutil.Process(process.pid), launch.database, log)
    try:
        _wait_until_ready(launch, process, server)
        yield server
    finally:
        _stop(server, process)


def _wait_until_ready(launch: Launch, process: subprocess.Popen[bytes], server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(launch):
        if process.poll() is not None or time.monotonic() > deadline:
            raise server.error(f"{' '.join(launch.command)} did not start")
        time.sleep(0.2)


def _is_ready(launch: Launch) -> bool:
    try:
        if launch.health is not None:
            answer = httpx.get(f"http://{launch.health_address}{launch.health}", timeout=5)
            # qualitrace takes OTLP before it has reached MLflow, whose tables must be there to be counted.
            return answer.is_success and '"component"' not in answer.text
        host, port = launch.health_address.split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, httpx.TransportError):
        return False
    return True


def _stop(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end; kill those of its processes that do not."""
    tree = server.tree() if process.poll() is None else []
    process.terminate()
    _, alive = psutil.wait_procs(tree, timeout=STOP_SECONDS)
    for straggler in alive:
        straggler.kill()
    process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
