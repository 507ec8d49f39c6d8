"""A real Alertmanager that notifies a webhook at once when an alert fires or ends."""

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from support import plain_http
from support.ports import free_port
from support.waiting import eventually
from support.web import program


@contextmanager
def alertmanager(folder: Path, webhook: str) -> Generator[str]:
    """Run Alertmanager with its data in `folder`; gives its address. `webhook` gets payloads of version 4."""
    port = free_port()
    route = {"receiver": "test", "group_wait": "0s", "group_interval": "1s", "group_by": ["alertname"]}
    receivers = [{"name": "test", "webhook_configs": [{"url": webhook, "send_resolved": True}]}]
    (folder / "alertmanager.yml").write_text(json.dumps({"route": route, "receivers": receivers}))
    process = subprocess.Popen(
        [
            program("prometheus-alertmanager", "prometheus-alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: plain_http.get(f"{url}/-/ready").is_success)
        yield url
    finally:
        process.terminate()
        process.wait(20)
