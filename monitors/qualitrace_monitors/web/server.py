"""The web port's server in a thread, beside the other threads of the process."""

import threading
from typing import Self

from starlette.types import ASGIApp

from qualitrace_collector.config.values import split_address
from qualitrace_collector.http_server.connection import ConnectionLimits
from qualitrace_collector.http_server.listener import listen
from qualitrace_collector.http_server.server import HttpServer
from qualitrace_collector.process.descriptors import connections_within

STOP_SECONDS = 1
"""How long requests under way may take at `stop`: it comes after the drain, shortly before the process is killed."""
MAX_CONNECTIONS = 4096
"""Prometheus, probes and browsers need dozens. More than these cost up to 80 MB and are closed first."""


class WebServer:
    """Serves an ASGI application; also a context manager that starts and stops it. It installs no signal handlers.

    Args:
        app: the ASGI application to serve.
        address: `host:port` to listen on; port 0 takes a free one, which `port` names after `start`.
    """

    def __init__(self, app: ASGIApp, address: str = "127.0.0.1:0") -> None:
        self._app = app
        self._host, self.port = split_address(address)
        self._running: tuple[HttpServer, threading.Thread] | None = None

    def start(self) -> None:
        """Listen; connections are accepted from here on. Safe twice.

        Raises:
            ListenError: the address is in use, not this host's, or not allowed.
        """
        if self._running:
            return
        listener = listen("web", self._address)
        self.port = listener.getsockname()[1]
        # Three quarters of the descriptors are left for what stores and judges.
        limits = ConnectionLimits(connections=connections_within(MAX_CONNECTIONS, 1, of=4))
        server = HttpServer(self._app, limits, STOP_SECONDS)
        thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
        thread.start()
        self._running = (server, thread)

    def stop(self) -> None:
        """Stop listening, let requests under way end, and wait for it. Safe twice."""
        if not self._running:
            return
        server, thread = self._running
        server.should_exit = True
        thread.join(STOP_SECONDS + 1)
        self._running = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's address, once it is started."""
        return f"http://{self._address}"

    @property
    def _address(self) -> str:
        return f"{f'[{self._host}]' if ':' in self._host else self._host}:{self.port}"
