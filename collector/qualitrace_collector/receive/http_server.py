"""uvicorn as part of a larger process, on connections of our own."""

import asyncio
import math
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette

from qualitrace_collector.config.otlp import Otlp
from qualitrace_collector.receive.connection import Connection, Room

BACKLOG = 2048


class HttpServer(uvicorn.Server):
    """uvicorn that tells when it is ready, leaves signals to others and bounds its connections.

    Args:
        max_connections: how many it keeps open; see `Room`.
        grace: seconds in which requests may end after a stop.
    """

    def __init__(self, app: Starlette, otlp: Otlp, *, max_connections: int, grace: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=math.ceil(otlp.idle_timeout),
                timeout_graceful_shutdown=grace,
            )
        )
        self._room = Room(max_connections)
        self._header_timeout = otlp.header_timeout
        self._tls = otlp.tls.context() if otlp.tls else None
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`; uvicorn's own way has no limit for the TLS handshake but asyncio's 60 s."""
        self.servers = [await self._listen(listener, self._tls) for listener in sockets or []]
        self.started = True
        self.ready.set()

    async def _listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self.config, self.server_state, self._room, self._header_timeout),
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=self._header_timeout if tls else None,
            backlog=BACKLOG,
        )

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone."""
        yield
