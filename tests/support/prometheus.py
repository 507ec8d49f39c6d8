"""A real Prometheus that scrapes one address each second."""

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support import plain_http
from support.ports import free_port
from support.web import program


@contextmanager
def prometheus(
    target: str, folder: Path, rules: Path | None = None, alertmanager: str | None = None, interval: str = "1s"
) -> Generator[str]:
    """Run Prometheus on the `host:port` in `target`, its data in `folder`; gives the address of its API.

    Args:
        rules: a file of rules, which are evaluated each second.
        alertmanager: the address of the Alertmanager that gets the alerts.
        interval: the time between two scrapes, and what one may take.
    """
    port = free_port()
    scrape = {"job_name": "qualitrace", "scrape_interval": interval, "static_configs": [{"targets": [target]}]}
    config: dict[str, Any] = {"global": {"evaluation_interval": "1s"}, "scrape_configs": [scrape]}
    if rules is not None:
        config["rule_files"] = [str(rules)]
    if alertmanager is not None:
        targets = [{"targets": [alertmanager.removeprefix("http://")]}]
        config["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    process = subprocess.Popen(
        [
            program("prometheus", "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--rules.alert.resend-delay=1s",
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
        return plain_http.get(url, params=parameters).json().get("data")
    except httpx.TransportError:
        return None
