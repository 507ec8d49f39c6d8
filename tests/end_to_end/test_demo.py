"""The main job by itself, as `make demo KEEP=1` runs it, with a real Prometheus beside it."""

import re
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import plain_http
from support.grafana import empty_panels
from support.prometheus import prometheus
from support.serving import QUALITRACE, environment
from support.waiting import eventually


@contextmanager
def kept_demo(folder: Path) -> Generator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run `qualitrace demo --keep` in `folder`; gives the process and the file of what it prints."""
    printed = folder / "printed.txt"
    command = [*QUALITRACE, "demo", "--keep"]
    with (
        printed.open("w") as output,
        subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output) as demo,
    ):
        try:
            yield demo, printed
        finally:
            demo.terminate()


@pytest.mark.timeout(420)  # on a busy machine MLflow takes minutes to make its tables, and to show its pages
def test_the_demo_works(tmp_path: Path):
    """Groundedness falls, the alert fires and resolves, every answer is accounted for, and each page is there.

    No panel of Grafana's dashboards is empty then.
    """
    with kept_demo(tmp_path) as (demo, printed):

        def found(pattern: str) -> list[str]:
            text = printed.read_text()
            if demo.poll() is not None:
                raise RuntimeError(f"the demo ended with {demo.returncode}: {text[-3000:]}")
            return re.findall(pattern, text)

        (web,) = eventually(lambda: found(r"watch it on http://([\d.:]+)/"), timeout=150)
        with prometheus(web, tmp_path) as api:
            eventually(lambda: found("Ctrl-C stops it"), timeout=170)
            assert found("FIRING")
            assert found("RESOLVED")
            eventually(lambda: empty_panels(api, "shop-assistant") == [], timeout=30)
        pages = {*found(r"(?m)(http://\S+)$")}
        assert len(pages) == 8
        for page in pages:
            eventually(lambda page=page: plain_http.get(page, timeout=10).raise_for_status(), timeout=120)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
