"""A real Prometheus that scrapes one address each second."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.ports import free_port
from support.web import program


@contextmanager
def prometheus(target: str, folder: Path) -> Generator[str]:
    """Run Prometheus on the `host:port` in `target`, its data in `folder`; gives the address of its API."""
    port = free_port()
    (folder / "prometheus.yml").write_text(
        f"scrape_configs: [{{job_name: qualitrace, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]"
    )
    process = subprocess.Popen(
        [
            program("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, **parameters: str) -> Any:
    """Return the data of an answer of Prometheus' API; nothing while it is not up."""
    try:
        return httpx.get(url, params=parameters).json().get("data")
    except httpx.TransportError:
        return None
