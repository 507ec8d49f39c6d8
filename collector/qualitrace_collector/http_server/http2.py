"""HTTP/2 connections, as far as gRPC needs them, with limits on what a client can make the process hold.

h2 speaks the protocol; here is what it leaves to its caller: the network, time, and memory. gRPC's own server reads
messages before Python sees them, and has no limit that holds over all connections.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

from qualitrace_collector.http_server.connection import ConnectionLimits, ConnectionSlots
from qualitrace_collector.http_server.frames import (
    WINDOW_BYTES,
    BoundedH2Connection,
    FrameMeter,
    TooMuchFraming,
)

READ_BYTES = 16 << 10
"""What is read of a connection at a time, before others have their turn: it may hold a thousand frames or more, each of
which takes h2 up to 0.1 ms."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with; without trailers it ends after the headers."""

    headers: Headers
    body: bytes = b""
    trailers: Headers = ()


class Exchange(Protocol):
    """A request, from its head to its answer."""

    def head_received(self, headers: Mapping[bytes, bytes]) -> None:
        """Take the headers."""

    def data_received(self, data: bytes) -> None:
        """Take a part of the body."""

    def end_received(self) -> None:
        """Note that the body is complete."""

    def closed(self) -> None:
        """Note that the request was answered, or that the client took it back or went away."""


# Makes an exchange, which calls the function once to answer.
MakeExchange = Callable[[Callable[[Answer], None]], Exchange]


class _Timer:
    """Calls `then` once it has run for some seconds without a break."""

    def __init__(self, seconds: float, then: Callable[[], None]) -> None:
        self._seconds = seconds
        self._then = then
        self._handle: asyncio.TimerHandle | None = None

    def run(self, wanted: bool) -> None:
        """Let it run on, start it, or stop it."""
        if wanted and self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._then)
        elif not wanted and self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Http2Connection(asyncio.BufferedProtocol):
    """One client's connection.

    Args:
        make_exchange: makes the exchange of each request.
        slots: where it needs a slot.
        connections: those that are open; it puts itself there.
        limits: `header_timeout` holds for each frame and head that begins while no request is under way.
    """

    def __init__(
        self,
        make_exchange: MakeExchange,
        slots: ConnectionSlots,
        connections: set["Http2Connection"],
        limits: ConnectionLimits,
    ) -> None:
        self.transport: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connections = connections
        self._make_exchange = make_exchange
        self._slots = slots
        self._h2 = BoundedH2Connection()
        self._meter = FrameMeter()
        self._input = bytearray()
        self._exchanges: dict[int, Exchange] = {}
        self._receiving: set[int] = set()  # the streams whose body is not complete
        self._unsent: dict[int, Answer] = {}  # for which the client's window is too small
        self._paused = False
        self._leaving = False
        self._closing = False
        self._head_timer = _Timer(limits.header_timeout, self._abort)
        self._idle_timer = _Timer(limits.idle_timeout, self.leave)
        self._answer_timer = _Timer(limits.answer_timeout, self._abort)
        self._close_timer = _Timer(limits.header_timeout, self._abort)

    def connection_made(self, transport: Any) -> None:
        """Ask for a slot, and greet."""
        self.transport = transport
        self._connections.add(self)
        self._slots.enter(self)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW_BYTES - self._h2.inbound_flow_control_window)
        self._send_answers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the slot back, and notify all exchanges."""
        self._slots.leave(self)
        self._connections.discard(self)
        self.lost.set_result(None)
        for timer in (self._head_timer, self._idle_timer, self._answer_timer, self._close_timer):
            timer.run(False)
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.closed()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what is received."""
        self._input = bytearray(READ_BYTES)  # not kept: thousands of connections may wait
        return memoryview(self._input)  # asyncio's TLS fills slices of it: those of a bytearray would be copies

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what was received, and answer what HTTP/2 itself asks for."""
        data, self._input = bytes(memoryview(self._input)[:nbytes]), bytearray()
        if self._closing:
            return
        try:
            self._meter.feed(data)
            for event in self._h2.receive_data(data):
                self._handle(event)
        except TooMuchFraming:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._close()
        except ProtocolError:
            self._close()  # h2 has prepared the goodbye, which says why
        self._send_answers()

    def pause_writing(self) -> None:
        """Take nothing from a client that does not read: each of its pings would need an answer."""
        self._paused = True
        self.transport.pause_reading()
        self._watch()

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self.transport.resume_reading()
        self._watch()

    def leave(self) -> None:
        """Say goodbye once no request is under way; the client opens another connection for its next one."""
        self._leaving = True
        if not self._exchanges and not self._closing:
            self._h2.close_connection()
            self._close()

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream), headers=headers):
                self._begin(stream, dict(reversed(headers or [])))
            case DataReceived(stream_id=int(stream), data=data, flow_controlled_length=int(size)):
                # The window opens again at once: exchanges keep what they take within limits of their own.
                self._h2.acknowledge_received_data(size, stream)
                if exchange := self._exchanges.get(stream):
                    exchange.data_received(data or b"")
            case StreamEnded(stream_id=int(stream)):
                self._receiving.discard(stream)
                if exchange := self._exchanges.get(stream):
                    exchange.end_received()
            case StreamReset(stream_id=int(stream)):
                self._end(stream)
            case ConnectionTerminated():
                self._close()
            case _:
                pass

    def _begin(self, stream: int, headers: Mapping[bytes, bytes]) -> None:
        if not self._exchanges:
            self._slots.busy(self)
        self._exchanges[stream] = exchange = self._make_exchange(partial(self._answer, stream))
        self._receiving.add(stream)
        exchange.head_received(headers)

    def _end(self, stream: int) -> None:
        exchange = self._exchanges.pop(stream, None)
        if exchange is None:
            return
        self._receiving.discard(stream)
        self._unsent.pop(stream, None)
        exchange.closed()
        if not self._exchanges:
            self._slots.idle(self)
            if self._leaving:
                self.leave()

    def _answer(self, stream: int, answer: Answer) -> None:
        if stream in self._exchanges:
            self._unsent[stream] = answer
            # Not at once: h2 may know already, from what was received together, that the client reset the stream.
            asyncio.get_running_loop().call_soon(self._send_answers)

    def _send_answers(self) -> None:
        if self._closing or self.transport.is_closing():
            return
        for stream, answer in list(self._unsent.items()):
            if not answer.body or len(answer.body) <= self._h2.local_flow_control_window(stream):
                self._send(stream, answer)
                self._end(stream)
                self._meter.answered()
        self._flush()
        self._watch()

    def _send(self, stream: int, answer: Answer) -> None:
        self._h2.send_headers(stream, answer.headers, end_stream=not answer.trailers)
        if answer.trailers:
            self._h2.send_data(stream, answer.body)
            self._h2.send_headers(stream, answer.trailers, end_stream=True)
        if stream in self._receiving:  # the client need not send the rest
            self._h2.reset_stream(stream, ErrorCodes.NO_ERROR)

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self.transport.write(data)

    def _watch(self) -> None:
        is_busy = bool(self._exchanges)  # then each exchange has a limit of its own
        self._head_timer.run(self._meter.is_open and not is_busy)
        self._idle_timer.run(not is_busy)
        self._answer_timer.run(self._paused or bool(self._unsent))

    def _close(self) -> None:
        self._flush()
        self._closing = True
        try:  # say that this was all, and read on: a reset, which unread data causes, would overtake the goodbye
            self.transport.write_eof()
        except (NotImplementedError, OSError):  # TLS cannot; or the client is gone
            self.transport.close()
        self._close_timer.run(True)  # the client may not read what is left

    def _abort(self) -> None:
        self.transport.abort()
