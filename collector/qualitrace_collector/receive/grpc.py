"""The OTLP/gRPC door (https://opentelemetry.io/docs/specs/otlp/#otlpgrpc).

A call is a request of HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

import asyncio
import base64
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import quote

from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from qualitrace_collector.http_server.connection import ConnectionLimits, ConnectionSlots
from qualitrace_collector.http_server.http2 import Answer, Headers, Http2Connection
from qualitrace_collector.http_server.listener import accept_connections
from qualitrace_collector.receive.decode import COMPRESSIONS, PROTOBUF
from qualitrace_collector.receive.errors import (
    RETRY_INFO,
    RequestError,
    TooLarge,
    TooSlow,
    Unavailable,
    Undecodable,
    Unsupported,
)
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.signals import SIGNALS, Signal

CALL_BYTES = 4 << 10
"""What a call costs beside its message, so that calls without one are bounded, too: 2 kB to 3 kB were measured."""

_PREFIX_BYTES = 5  # in front of a message: whether it is compressed, and its size
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

logger = logging.getLogger(__name__)


class GrpcServer:
    """The port.

    Args:
        limits: what clients can hold.
        tls: for a port with TLS.
    """

    def __init__(
        self, intake: Intake, guard: DoorGuard, limits: ConnectionLimits, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._calls = _Calls(intake, guard)
        self._limits = limits
        self._slots = ConnectionSlots(limits.connections)
        self._connections: set[Http2Connection] = set()
        self._server: asyncio.Server | None = None
        self._tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["h2"])  # clients insist on it

    async def start(self, listener: socket.socket) -> None:
        """Take connections."""
        self._server = await accept_connections(
            listener,
            lambda: Http2Connection(self._calls.open, self._slots, self._connections, self._limits),
            self._tls,
            self._limits.header_timeout,
        )

    async def stop(self, grace: float) -> None:
        """Take no more connections, and let the calls under way end for `grace` seconds. Safe twice."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.leave()
        if self._connections:
            await asyncio.wait({connection.lost for connection in self._connections}, timeout=grace)
        for connection in self._connections:
            connection.transport.abort()


class _Unimplemented(Unsupported):
    """What gRPC answers to calls of methods, and of compressions, that a server does not have."""

    rpc_code = code_pb2.UNIMPLEMENTED


class _Calls:
    """What all calls share."""

    def __init__(self, intake: Intake, guard: DoorGuard) -> None:
        self.intake = intake
        self.guard = guard
        self._signals = {f"/{signal.service}/Export": signal for signal in SIGNALS}
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly

    def open(self, answer: Callable[[Answer], None]) -> "_Call":
        """Make the exchange of a request."""
        return _Call(self, answer)

    def signal_of(self, path: str) -> Signal:
        """Return what a method takes."""
        if path not in self._signals:
            raise _Unimplemented(f"no such method: {path}; traces and logs are taken, metrics are not")
        return self._signals[path]

    def run(self, call: "_Call") -> None:
        """Serve a call whose message is complete."""
        task = asyncio.get_running_loop().create_task(call.serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Call:
    """One call. Its message is collected without a task, so that calls that stall cost little."""

    def __init__(self, calls: _Calls, answer: Callable[[Answer], None]) -> None:
        self._calls = calls
        self._answer = answer
        self._guard = calls.guard
        self._memory = calls.guard.memory.hold()
        self._message = bytearray()
        self._size: int | None = None  # of the message, once it is known
        self._is_over = False  # the message is complete, or will not be read any more
        self._timer = asyncio.get_running_loop().call_later(self._guard.body_timeout, self._time_is_up)

    def head_received(self, headers: Mapping[bytes, bytes]) -> None:
        """Check what is known before the message."""
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        if not fields.get("content-type", "").startswith("application/grpc"):
            self._finish(Answer(((b":status", b"415"),)))
            return
        try:
            self._signal = self._calls.signal_of(fields.get(":path", ""))
            self._tenant = self._guard.tokens.tenant_of(fields.get("authorization", ""))
            self._encoding = fields.get("grpc-encoding", "identity")
            if self._encoding not in ("identity", *COMPRESSIONS):
                raise _Unimplemented(f"grpc-encoding {self._encoding!r} is not gzip, deflate or identity")
            self._memory.add(CALL_BYTES)
        except RequestError as error:
            self._refuse(error)

    def data_received(self, data: bytes) -> None:
        """Collect the message, as far as it may be held."""
        if self._is_over:
            return
        try:
            self._memory.add(len(data))
            self._message += data
            self._check_size()
        except RequestError as error:
            self._refuse(error)

    def end_received(self) -> None:
        """Serve the call, if its message is complete."""
        if self._is_over:
            return
        if self._size is None or len(self._message) < self._size + _PREFIX_BYTES:
            self._refuse(Undecodable("the call ends before its message does"))
            return
        self._is_over = True
        self._timer.cancel()
        self._calls.run(self)

    def closed(self) -> None:
        """Let go of a message that is not complete; one that is served is kept until that is done."""
        if not self._is_over:
            self._drop()

    async def serve(self) -> None:
        """Make the request durable, and answer."""
        intake = self._calls.intake
        try:
            response = await intake.accept(self._signal, PROTOBUF, await self._read(), "grpc", self._tenant)
        except RequestError as error:
            self._refuse(error)
        except Exception:
            logger.exception("a fault in the collector, reported to the client as INTERNAL")
            self._finish(_status(code_pb2.INTERNAL, "internal error; see the collector's log"))
        else:
            self._finish(_success(response))
        finally:
            self._memory.release()

    async def _read(self) -> bytes:
        is_compressed = self._message[0]
        sent = bytes(memoryview(self._message)[_PREFIX_BYTES:])
        self._message = bytearray()
        encoding = self._encoding if is_compressed else "identity"
        payload = await self._guard.turns.decompress(sent, encoding, self._guard.max_bytes)
        # The message that is made of it is as large again, and both are kept until it is in the journal.
        self._memory.add(len(payload) if payload is sent else 2 * len(payload))
        return payload

    def _check_size(self) -> None:
        if self._size is None:
            if len(self._message) < _PREFIX_BYTES:
                return
            self._size = int.from_bytes(self._message[1:_PREFIX_BYTES], "big")
            if self._size > self._guard.max_bytes:
                raise TooLarge(self._guard.max_bytes)
            if self._message[0] and self._encoding == "identity":
                raise Undecodable("the message is compressed, but grpc-encoding does not say how")
        if len(self._message) > self._size + _PREFIX_BYTES:
            raise Undecodable("the call has more than one message")

    def _time_is_up(self) -> None:
        self._refuse(TooSlow(self._guard.body_timeout))

    def _refuse(self, error: RequestError) -> None:
        self._calls.intake.count_refusal(error)
        self._finish(_refusal(error))

    def _finish(self, answer: Answer) -> None:
        self._drop()
        self._answer(answer)

    def _drop(self) -> None:
        self._is_over = True
        self._timer.cancel()
        self._message.clear()
        self._memory.release()


def _head(*fields: tuple[str, str]) -> Headers:
    always = ((b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-accept-encoding", _ACCEPTED))
    return (*always, *_encoded(*fields))


_ACCEPTED = ",".join(("identity", *COMPRESSIONS)).encode()


def _encoded(*fields: tuple[str, str]) -> Headers:
    return tuple((name.encode(), value.encode()) for name, value in fields)


def _success(response: Message) -> Answer:
    body = response.SerializeToString()
    return Answer(_head(), b"\0" + len(body).to_bytes(4, "big") + body, _encoded(("grpc-status", "0")))


def _status(code: int, message: str, *details: tuple[str, str]) -> Answer:
    return Answer(_head(("grpc-status", str(code)), ("grpc-message", quote(message, _PRINTABLE)), *details))


def _refusal(error: RequestError) -> Answer:
    """Return the answer with the error's details, and with the time to try again, without which clients give up."""
    status = error.status()
    details: list[tuple[str, str]] = []
    if status.details:
        details.append(("grpc-status-details-bin", _base64(status)))
    if isinstance(error, Unavailable):
        # OTLP has the delay in the status details; OpenTelemetry's Python exporter looks for it under a key of its own.
        details.append(("google.rpc.retryinfo-bin", _base64(RETRY_INFO)))
    return _status(error.rpc_code, str(error), *details)


def _base64(message: Message | Status) -> str:
    return base64.b64encode(message.SerializeToString()).decode()
