"""Servers for the end-to-end tests, stopped whatever happens."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.serving import Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server; sections of the configuration are keywords."""
    servers: list[Server] = []

    def start(**config: Any) -> Server:
        servers.append(Server(tmp_path, **config))
        return servers[-1].start()

    yield start
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.stop()
