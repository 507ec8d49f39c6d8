"""A real `mlflow server` in its own process."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support import plain_http
from support.mlflow_db import new_database
from support.ports import free_port
from support.waiting import eventually

START_SECONDS = 120


@contextmanager
def mlflow_server(folder: Path, database: str = "") -> Generator[str]:
    """Run a tracking server; gives its address.

    Args:
        database: its URI; by default an empty SQLite database in `folder`.
    """
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--backend-store-uri",
        database or new_database(folder),
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with (folder / "mlflow-server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: plain_http.get(f"{url}/health").status_code == httpx.codes.OK, timeout=START_SECONDS)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)
