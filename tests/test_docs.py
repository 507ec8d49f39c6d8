"""The documentation is right: blocks have the syntax of their language, links lead somewhere, shown programs work.

`tests/end_to_end/test_snippets.py` runs the commands.
"""

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
from standardwebhooks import Webhook

from support.ports import free_port
from support.serving import environment
from support.snippets import Snippet, snippets
from support.syntax import CHECKS
from support.waiting import eventually

ROOT = Path(__file__).parents[1]
SHOWN = snippets()
SECRET = "whsec_" + base64.b64encode(b"r" * 32).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"o" * 32).decode()


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*/**/*.md")]
    )


@pytest.mark.parametrize("snippet", SHOWN, ids=lambda snippet: f"{snippet.page}:{snippet.line}")
def test_the_syntax_is_right(snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By the parser of its language; a configuration by the loader, with the variables that pages name."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert snippet.language in CHECKS, "name the language of the block: one that can be checked, or text"
    CHECKS[snippet.language](snippet, tmp_path)


def test_the_shown_receiver_takes_signed_alerts_alone():
    """It prints a payload under a good signature, and answers 401 to one under another key's."""
    payload = '{"alerts": [{"status": "firing", "annotations": {"summary": "it fell"}}]}'
    with hook() as (process, url):
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


def signed(secret: str, payload: str) -> Mapping[str, str]:
    """Make the headers of a webhook."""
    identifier, now = uuid.uuid4().hex, datetime.now(UTC)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identifier, now, payload),
    }


@contextmanager
def hook() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the shown receiver on a free port."""
    port = free_port()
    (script,) = [snippet.text for snippet in SHOWN if snippet.file == "hook.py"]
    process = subprocess.Popen(
        [sys.executable, "-c", script.replace("9000", str(port))],
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
