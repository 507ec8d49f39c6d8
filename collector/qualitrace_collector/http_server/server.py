"""uvicorn's server, with bounded connections."""

import asyncio
import math
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from qualitrace_collector.http_server.connection import Connection, ConnectionLimits, ConnectionSlots
from qualitrace_collector.http_server.listener import accept_connections


class HttpServer(uvicorn.Server):
    """uvicorn with bounded connections. It sets `ready` when it listens, and leaves signals alone.

    Args:
        limits: what clients can hold.
        grace: seconds in which requests may end after a stop.
        tls: for a port with TLS.
    """

    def __init__(
        self, app: ASGIApp, limits: ConnectionLimits, grace: int, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,  # the process has its own
                access_log=False,
                proxy_headers=False,  # anybody may send them
                server_header=False,
                timeout_keep_alive=math.ceil(limits.idle_timeout),
                timeout_graceful_shutdown=grace,
            )
        )
        self._limits = limits
        self._slots = ConnectionSlots(limits.connections)
        self._tls = tls
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`."""
        await self.lifespan.startup()
        self.servers = [
            await accept_connections(listener, self._connect, self._tls, self._limits.header_timeout)
            for listener in sockets or []
        ]
        self.started = True
        self.ready.set()

    def _connect(self) -> Connection:
        return Connection(self.config, self.server_state, self._slots, self._limits)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the process."""
        yield
