"""The documentation is right: what it shows is read from it and compared or run."""

import base64
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from standardwebhooks import Webhook

from qualitrace_collector.config import load_config
from qualitrace_monitors.config import Config
from qualitrace_monitors.demo.llm import model_app
from qualitrace_monitors.web.server import WebServer
from support.ports import free_port
from support.serving import QUALITRACE, environment
from support.waiting import eventually
from support.web import program

ROOT = Path(__file__).parents[1]
PAGES = "\n".join(page.read_text() for page in sorted((ROOT / "docs").glob("**/*.md")))
SECRET = "whsec_" + base64.b64encode(b"r" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()
SHOWN = {name: text for text, name in re.findall(r"```(?:yaml|python)\n(# (\S+)\n.*?)```", PAGES, re.DOTALL)}
"""The files that the pages show, by the name in their first line."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with the shown files, as a reader saves them."""
    for name, text in SHOWN.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("name", ["qualitrace.yaml", "ops.yaml", "receivers.yaml", "shop.yaml", "watch.yaml"])
def test_the_shown_configurations_load(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """By the real loader, with the secret that the text exports."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert load_config(folder / name, Config).model_fields_set == yaml.safe_load(SHOWN[name]).keys()


def test_check_config_prints_what_is_shown(folder: Path):
    """Line by line, for the shown file with mistakes."""
    (shown,) = re.findall(r"```console\n\$ qualitrace check-config bad.yaml\n(.*?)```", PAGES, re.DOTALL)
    done = run("check-config", "bad.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (1, shown)


def test_promtool_takes_the_shown_scrape_configuration(folder: Path):
    """Prometheus' own checker reads it, and the rules that it names."""
    assert run("rules", "--config", "qualitrace.yaml", "--out", "rules", folder=folder).returncode == 0
    command = [program("promtool", "prometheus"), "check", "config", str(folder / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shown_app_answers_from_its_passages(folder: Path):
    """Under `qualitrace run` with the stand-in model, and nothing at the collector's address."""
    with WebServer(model_app()) as server:
        settings = {
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "none",
            "QUALITRACE_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        }
        question = "How long does the warranty of a tent last?"
        done = run("run", sys.executable, "app.py", question, folder=folder, **settings)
    assert done.stdout == "The warranty of a tent lasts 24 months from the day of purchase.\n", done.stderr


def test_the_shown_receiver_takes_signed_alerts_alone(folder: Path):
    """It prints a payload under a good signature, and answers 401 to one under another key's."""
    payload = '{"alerts": [{"status": "firing", "annotations": {"summary": "it fell"}}]}'
    with hook(folder) as (process, url):
        forged, genuine = (
            httpx.post(url, content=payload, headers=signed(key, payload)) for key in (OTHER_SECRET, SECRET)
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "firing it fell\n"
    assert (forged.status_code, genuine.status_code) == (401, 204)


@pytest.mark.parametrize("path", [str(page.relative_to(ROOT)) for page in pages()])
def test_links_between_files_lead_somewhere(path: str):
    """To a file of the repository, and to a heading in it where the link names one."""
    for link in re.findall(r"]\((?!https?:)([^)]+)\)", (ROOT / path).read_text()):
        target, _, anchor = link.partition("#")
        file = (ROOT / path).parent / target
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text()), link


def anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def run(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `qualitrace` as a reader does."""
    return subprocess.run(
        [*QUALITRACE, *arguments],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def signed(secret: str, payload: str) -> Mapping[str, str]:
    """Make the headers of a webhook."""
    identifier, now = uuid.uuid4().hex, datetime.now(UTC)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identifier, now, payload),
    }


@contextmanager
def hook(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the shown receiver on a free port."""
    port = free_port()
    script = (folder / "hook.py").read_text().replace("9000", str(port))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(HOOK_SECRET=SECRET),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/alerts"
    try:
        eventually(lambda: httpx.get(url).status_code == 501)
        yield process, url
    finally:
        process.terminate()
        process.wait(10)
