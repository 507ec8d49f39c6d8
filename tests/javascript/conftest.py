"""Node with OpenTelemetry's JavaScript SDK, installed once for a lock file into pytest's cache."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.node import NODE, install

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node_modules(pytestconfig: pytest.Config) -> Path:
    """Install what the lock file says, if it is not there yet."""
    version = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = pytestconfig.cache.mkdir(f"javascript-{version}")
    install(HERE, folder)
    return folder / "node_modules"


@pytest.fixture
def start_client(node_modules: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start the client; its arguments are those of send.cjs."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        return subprocess.Popen(
            [NODE, str(HERE / "send.cjs"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=kept | {"NODE_PATH": str(node_modules)},
        )

    return start
