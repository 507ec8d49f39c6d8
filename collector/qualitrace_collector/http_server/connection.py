"""HTTP connections with the limits that uvicorn lacks: on their number, on heads, and on answers that nobody reads."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Protocol

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)

MAX_HEAD_BYTES = 64 << 10
MAX_PIPELINED = 16
"""Requests that a client sends before it has the first answer; each is an object, and 256 KiB are read at once."""
MAX_UNREAD_BYTES = 64 << 20
"""What is held of answers that clients do not read: a thousand of them may each have asked for a page of a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What the clients of a port can hold.

    Attributes:
        connections: how many are kept open; see `ConnectionSlots`.
        header_timeout: seconds until the head of a request must be complete, counted from the connection (a TLS
            handshake has as long) or from the first byte after the last answer.
        idle_timeout: seconds between two requests.
        answer_timeout: seconds until the client must have read what is sent to it.
    """

    connections: int
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    answer_timeout: float = 30.0


class TooManyPipelined(Exception):
    """A client sends requests without waiting for answers."""


class HasTransport(Protocol):
    """A connection."""

    @property
    def transport(self) -> Any:
        """What closes it."""


class ConnectionSlots:
    """Slots for connections. When all are taken, a new connection gets the slot of one that waits for its client.

    To refuse it instead would let idle connections shut the door. Connections that never sent a request are closed
    first, then those that are idle between two requests; of each the one that has waited longest.

    Args:
        limit: how many connections there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[HasTransport] = set()
        self._silent: dict[HasTransport, None] = {}  # in order of their arrival; never sent a request
        self._idle: dict[HasTransport, None] = {}  # in order of their last answer
        self._unread: dict[HasTransport, int] = {}  # bytes that their clients have not read, in order of the answers
        self._unread_bytes = 0

    def enter(self, connection: HasTransport) -> None:
        """Give a new connection a slot, or close it if every other one is busy."""
        if len(self._taken) >= self._limit:
            victim = next(iter(self._silent or self._idle), connection)
            self._close(victim)
            if victim is connection:
                return
        self._taken.add(connection)
        self._silent[connection] = None

    def busy(self, connection: HasTransport) -> None:
        """Note that a connection has a request under way."""
        self._silent.pop(connection, None)
        self._idle.pop(connection, None)

    def idle(self, connection: HasTransport) -> None:
        """Note that a connection has had its answer."""
        self._idle[connection] = None

    def unread(self, connection: HasTransport, size: int) -> None:
        """Note that a client does not read `size` bytes; close those that have not for longest if it is too much."""
        self._unread[connection] = size
        self._unread_bytes += size
        while self._unread_bytes > MAX_UNREAD_BYTES:
            self._close(next(iter(self._unread)))

    def read(self, connection: HasTransport) -> None:
        """Note that a client has read all that was sent to it."""
        self._unread_bytes -= self._unread.pop(connection, 0)

    def leave(self, connection: HasTransport) -> None:
        """Free the connection's slot."""
        self._taken.discard(connection)
        self.busy(connection)
        self.read(connection)

    def _close(self, connection: HasTransport) -> None:
        self.leave(connection)
        connection.transport.abort()


class Connection(HttpToolsProtocol):
    """One client's connection.

    Args:
        slots: where it needs a slot.
        limits: uvicorn's `timeout_keep_alive` has to be its `idle_timeout`.
    """

    def __init__(
        self, config: Config, server_state: ServerState, slots: ConnectionSlots, limits: ConnectionLimits
    ) -> None:
        super().__init__(config, server_state, app_state={})
        self._slots = slots
        self._limits = limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._awaits_head = True
        self._unparsed = 0  # bytes of an incomplete head, or between two chunks

    def connection_made(self, transport: Any) -> None:
        """Ask for a slot."""
        super().connection_made(transport)
        # Bytes that the client does not read pause writing. With 0 asyncio's TLS would pause for good.
        transport.set_write_buffer_limits(high=1)
        self._start_timer()
        self._slots.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the slot back."""
        self._stop_timer()
        self.resume_writing()
        self._slots.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head that is too large, and start the timer for one that begins."""
        self._unparsed += len(data)
        super().data_received(_without_upgrade(data) if self._awaits_head else data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Request head or chunk framing is larger than {MAX_HEAD_BYTES} bytes.")
        elif self._awaits_head and self._head_timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Note that a head begins, perhaps while an earlier request is under way."""
        self._awaits_head = True
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()  # an answer now would pass for that of an earlier request
            raise TooManyPipelined
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

    def pause_writing(self) -> None:
        """Note that the client does not read; give it some time."""
        super().pause_writing()
        self._answer_timer = self.loop.call_later(self._limits.answer_timeout, self.transport.abort)
        self._slots.unread(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Note that the client has read everything."""
        super().resume_writing()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        self._slots.read(self)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.header_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _without_upgrade(data: bytes) -> bytes:
    """Return the bytes that begin a request without the offer of another protocol, which a server may ignore.

    Java's client offers HTTP/2 (`Upgrade: h2c`) with each first request. The parser would take the body for bytes of
    that protocol and drop it (https://www.rfc-editor.org/rfc/rfc9110#section-7.8).
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nX-Not-Upgraded:", head) + end + rest
