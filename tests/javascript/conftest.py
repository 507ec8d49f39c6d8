"""Node with OpenTelemetry's JavaScript SDK, installed once for a lock file into pytest's cache."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.web import program

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node_modules(pytestconfig: pytest.Config) -> Path:
    """Install what the lock file says, if it is not there yet."""
    version = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = pytestconfig.cache.mkdir(f"javascript-{version}")
    modules = folder / "node_modules"
    if not (modules / ".package-lock.json").exists():  # npm writes it last
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, folder)
        command = [program("npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, f"npm ci in {folder} failed:\n{done.stderr}"
    return modules


@pytest.fixture
def start_client(node_modules: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start the client; its arguments are those of send.cjs."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        return subprocess.Popen(
            [program("node", "nodejs"), str(HERE / "send.cjs"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=kept | {"NODE_PATH": str(node_modules)},
        )

    return start
