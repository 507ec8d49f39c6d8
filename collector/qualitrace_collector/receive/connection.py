"""HTTP connections with the limits that uvicorn lacks: on their number, and on a request head's time and size."""

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


class ConnectionSlots:
    """Slots for connections. When all are taken, a new connection gets the slot of one that waits for its client.

    To refuse it instead would let idle connections shut the door. Connections that never sent a request are closed
    first, then those that are idle between two requests; of each the one that has waited longest.

    Args:
        limit: how many connections there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[Connection] = set()
        self._silent: dict[Connection, None] = {}  # in order of their arrival; never sent a request
        self._idle: dict[Connection, None] = {}  # in order of their last answer

    def enter(self, connection: "Connection") -> None:
        """Give a new connection a slot, or close it if every other one is busy."""
        if len(self._taken) >= self._limit:
            victim = next(iter(self._silent or self._idle), connection)
            self.leave(victim)
            victim.transport.abort()
            if victim is connection:
                return
        self._taken.add(connection)
        self._silent[connection] = None

    def busy(self, connection: "Connection") -> None:
        """Note that a connection has a request under way."""
        self._silent.pop(connection, None)
        self._idle.pop(connection, None)

    def idle(self, connection: "Connection") -> None:
        """Note that a connection has had its answer."""
        self._idle[connection] = None

    def leave(self, connection: "Connection") -> None:
        """Free the connection's slot."""
        self._taken.discard(connection)
        self.busy(connection)


class Connection(HttpToolsProtocol):
    """One client's connection.

    Args:
        slots: where it needs a slot.
        header_timeout: seconds until the head of a request must be complete, counted from the connection or from
            the first byte after the last answer. uvicorn's `timeout_keep_alive` bounds the wait for that byte.
    """

    def __init__(
        self, config: Config, server_state: ServerState, slots: ConnectionSlots, header_timeout: float
    ) -> None:
        super().__init__(config, server_state, app_state={})
        self._slots = slots
        self._header_timeout = header_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._unparsed = 0  # bytes of an incomplete head, or between two chunks

    def connection_made(self, transport: Any) -> None:
        """Ask for a slot."""
        super().connection_made(transport)
        self._start_timer()
        self._slots.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the slot back."""
        self._stop_timer()
        self._slots.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head that is too large, and start the timer for one that begins."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Request head or chunk framing is larger than {MAX_HEAD_BYTES} bytes.")
        elif self._awaits_head and self._head_timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Note that a head begins, perhaps while an earlier request is under way."""
        self._awaits_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request is under way."""
        self._unparsed = 0
        self._awaits_head = False
        self._stop_timer()
        self._slots.busy(self)
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
            self._slots.idle(self)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._header_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


BACKLOG = 2048


class HttpServer(uvicorn.Server):
    """uvicorn with bounded connections. It sets `ready` when it listens, and leaves signals alone.

    Args:
        max_connections: how many it keeps open; see `ConnectionSlots`.
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
        self._slots = ConnectionSlots(max_connections)
        self._header_timeout = otlp.header_timeout
        self._tls = otlp.tls.context() if otlp.tls else None
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets`."""
        # uvicorn's own method leaves 60 s, asyncio's default, for a TLS handshake.
        self.servers = [await self._listen(listener, self._tls) for listener in sockets or []]
        self.started = True
        self.ready.set()

    async def _listen(self, listener: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: Connection(self.config, self.server_state, self._slots, self._header_timeout),
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=self._header_timeout if tls else None,
            backlog=BACKLOG,
        )

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the process."""
        yield
