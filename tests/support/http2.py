"""A client of the gRPC door that does what no gRPC library lets it do: half a message, no reading, odd frames."""

import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, PingAckReceived, StreamEnded, TrailersReceived
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", EXPORT),
    (":authority", "collector"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def prefix(size: int) -> bytes:
    """Return what stands in front of a message of that size."""
    return b"\0" + struct.pack(">I", size)


class Http2Client:
    """One connection; a context manager. `events` are those seen so far, `is_over` says whether the server closed it."""

    def __init__(self, address: str, **settings: int) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.is_over = False
        if settings:
            self.h2.update_settings({SettingCodes[name.upper()]: value for name, value in settings.items()})
        self.flush()
        while settings and self.h2.local_settings.initial_window_size != settings["initial_window_size"]:
            self.read()

    def open_call(self, headers: Sequence[tuple[str, str]] = HEADERS) -> int:
        """Begin a call; return its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers)
        return stream

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        """Send data as far as the server's windows allow; it reads until they do, or the call or connection ends."""
        while data or end:
            size = min(len(data), self.h2.max_outbound_frame_size, self.h2.local_flow_control_window(stream))
            if size == 0 and data:
                self.flush()
                self.read()
                if self.is_over or self.answered(stream):
                    return
                continue
            try:
                self.h2.send_data(stream, data[:size], end_stream=end and size == len(data))
            except StreamClosedError:
                return
            data = data[size:]
            end = end and bool(data)
        self.flush()

    def flush(self) -> None:
        """Put on the wire what was sent so far."""
        self.socket.sendall(self.h2.data_to_send())

    def read(self) -> None:
        """Wait for something from the server, and answer what HTTP/2 itself asks for."""
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        self.is_over = self.is_over or not data
        self.events += self.h2.receive_data(data)
        if not self.is_over:
            self.flush()

    def settle(self) -> None:
        """Wait until the server has seen all that was sent."""
        self.h2.ping(b"seen all")
        self.flush()
        while not self.is_over and not any(isinstance(event, PingAckReceived) for event in self.events):
            self.read()

    def read_to_the_end(self) -> None:
        """Read until the server closes the connection."""
        while not self.is_over:
            self.read()

    def answered(self, stream: int) -> bool:
        """Whether a call has its answer."""
        return any(isinstance(event, StreamEnded) and event.stream_id == stream for event in self.events)

    def status(self, stream: int) -> str:
        """Wait for the status of a call that has an answer with a message."""
        while not self.answered(stream):
            assert not self.is_over, "the connection was closed"
            self.read()
        trailers = [e for e in self.events if isinstance(e, TrailersReceived) and e.stream_id == stream]
        return dict(trailers[0].headers)[b"grpc-status"].decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.socket.close()
