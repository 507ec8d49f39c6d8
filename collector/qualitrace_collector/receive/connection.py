"""HTTP connections with the limits that uvicorn lacks: on their number, and on a request's head in time and size."""

import asyncio
import math
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from qualitrace_collector.receive.settings import Otlp

MAX_HEAD_BYTES = 64 << 10


class Room:
    """Places for connections. When all are taken, a new one gets the place of one that waits for its client.

    Those that never sent a request go first, then those that are idle between two; of each the longest waiting.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken: set[Connection] = set()
        self._strangers: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}

    def enter(self, connection: "Connection") -> None:
        """Give a new connection a place, or close it if every other one is busy."""
        if len(self._taken) >= self._places:
            victim = next(iter(self._strangers or self._idle), connection)
            self.leave(victim)
            victim.transport.abort()
            if victim is connection:
                return
        self._taken.add(connection)
        self._strangers[connection] = None

    def busy(self, connection: "Connection") -> None:
        """Note that a connection has a request under way."""
        self._strangers.pop(connection, None)
        self._idle.pop(connection, None)

    def idle(self, connection: "Connection") -> None:
        """Note that a connection has had its answer."""
        self._idle[connection] = None

    def leave(self, connection: "Connection") -> None:
        """Take a place back."""
        self._taken.discard(connection)
        self.busy(connection)


class Connection(HttpToolsProtocol):
    """One client's connection.

    Args:
        room: where it needs a place.
        header_timeout: seconds in which the head of a request must have come, counted from the connection or from
            the first byte behind the last answer. Waiting for that byte is uvicorn's `timeout_keep_alive`.
    """

    def __init__(self, config: Config, server_state: ServerState, room: Room, header_timeout: float) -> None:
        super().__init__(config, server_state, app_state={})
        self._room = room
        self._header_timeout = header_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._unparsed = 0  # bytes since the parser last made something of them: of a head, or between two chunks

    def connection_made(self, transport: Any) -> None:
        """Ask for a place."""
        super().connection_made(transport)
        self._start_timer()
        self._room.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_timer()
        self._room.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and see whether a head is too large or about to be awaited."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Request head or chunk framing is larger than {MAX_HEAD_BYTES} bytes.")
        elif self._awaits_head and self._head_timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Note that a head begins, which may be behind a request that is under way."""
        self._awaits_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request is under way."""
        self._unparsed = 0
        self._awaits_head = False
        self._stop_timer()
        self._room.busy(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that the body goes on."""
        self._unparsed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Await the next head."""
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next of several requests in a row is under way
            self._awaits_head = True
            self._room.idle(self)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._header_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


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
