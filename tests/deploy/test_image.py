"""The Dockerfiles, as far as no base image is needed. `make image-check` builds that of the server and runs it."""

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from support.compose import DOCKERFILE, image_health_check

ROOT = Path(__file__).parents[2]
INJECTION = ROOT / "deploy" / "kubernetes" / "Dockerfile.injection"


def test_hadolint_finds_nothing() -> None:
    """In any Dockerfile that git knows, whatever its name ends in."""
    listed = ["git", "ls-files", ":(icase)*dockerfile*", ":(icase)*containerfile*"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"deploy/Dockerfile", "deploy/kubernetes/Dockerfile.injection"} <= set(found)
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", *found], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_its_version_is_that_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^ARG VERSION=(.*)$", DOCKERFILE.read_text(), re.MULTILINE)[1] == version  # type: ignore[index]


def test_no_registry_or_index_is_the_only_one() -> None:
    """Each image may come from a mirror, and each pip may use another index, with a password that no layer keeps."""
    for dockerfile in (DOCKERFILE, INJECTION):
        text = dockerfile.read_text()
        bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
        assert bases
        assert all(re.fullmatch(r"\$\{\w+_IMAGE\}", base) for base in bases)
        for stage in text.split("\nFROM ")[1:]:
            if re.search(r"pip (install|wheel)", stage):
                assert "\nARG PIP_INDEX_URL\n" in stage
                assert "--mount=type=secret,id=pip.conf,target=/etc/pip.conf" in stage


class StatusOfPath(BaseHTTPRequestHandler):
    """Answers the status that the path is."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()


def test_health_is_any_answer_below_500_whatever_proxy_is_set() -> None:
    with HTTPServer(("127.0.0.1", 0), StatusOfPath) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert {status: is_healthy(f"{url}/{status}") for status in (200, 421, 503)} == {
            200: True, 421: True, 503: False,
        }  # fmt: skip
        server.shutdown()
    assert not is_healthy(f"{url}/200")


def is_healthy(url: str) -> bool:
    """Ask as the image does, in an environment with a proxy that nobody reaches."""
    environment = {"HEALTH_URL": url, "http_proxy": "http://127.0.0.1:9", "PATH": os.environ["PATH"]}
    return subprocess.run(image_health_check(), env=environment, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_the_wheel_is_built_from_what_is_copied_and_not_ignored(tmp_path: Path) -> None:
    """It has every file of the packages that git knows: templates, word lists and all."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for dockerfile in (DOCKERFILE, INJECTION):
        copied = re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile.read_text(), re.MULTILINE)
        assert {source for sources in copied for source in sources.split()} == allowed
    for name in allowed:
        source, target = ROOT / name, tmp_path / "src" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            shutil.copy(source, target)
        else:
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip_wheel, "--wheel-dir", tmp_path, tmp_path / "src"], check=True, timeout=150)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = [name for name in allowed if "/" in name]
    listed = subprocess.run(["git", "ls-files", *packages], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = {name.partition("/")[2] for name in listed.splitlines()}
    assert packed == {f"qualitrace_monitors/{name}" if name.startswith("runbooks/") else name for name in named}
