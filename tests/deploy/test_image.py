"""deploy/Dockerfile, as far as no base image is needed. `make image-check` builds it and runs it."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_its_version_is_that_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^ARG VERSION=(.*)$", DOCKERFILE.read_text(), re.MULTILINE)[1] == version  # type: ignore[index]


@pytest.mark.slow
def test_the_wheel_is_built_from_what_is_copied_and_not_ignored(tmp_path: Path) -> None:
    """It has every file of the packages that git knows: templates, word lists and all."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    stage = DOCKERFILE.read_text().partition("AS wheel")[2].partition("FROM")[0]
    copied = [words for line in re.findall(r"^COPY (.*)$", stage, re.MULTILINE) if (words := line.split())]
    assert {source for *sources, _ in copied for source in sources} == allowed
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
