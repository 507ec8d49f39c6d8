"""What clients can make the gRPC door hold, by raw HTTP/2."""

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import grpc
import psutil
import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from qualitrace_collector.http_server.connection import ConnectionLimits, ConnectionSlots
from qualitrace_collector.http_server.frames import FRAME_BYTES, MAX_HEAD_BYTES, MAX_IDLE_FRAMES, MAX_STREAMS
from qualitrace_collector.http_server.http2 import Http2Connection
from qualitrace_collector.settings import CollectorConfig
from support.http2 import HEADERS, Http2Client, prefix

pytestmark = pytest.mark.slow

MakeRequest = Callable[..., ExportTraceServiceRequest]
LIMIT = 32 << 20
MARGIN = 24 << 20  # for connections, and for memory that was freed and not given back
MESSAGE = 4 << 20

# The argument is the configuration as JSON.
MAIN = """
import json, sys
from qualitrace_collector.config import parse_config
from qualitrace_collector.receive.server import main
from qualitrace_collector.receive.settings import ReceiveConfig
sys.exit(main(parse_config(json.loads(sys.argv[1]), ReceiveConfig), lambda: print("ready", flush=True)))
"""


@pytest.fixture
def process(receive_config: Callable[..., CollectorConfig]) -> Generator[tuple[psutil.Process, str]]:
    """A receiver in a process of its own, with little memory for requests; and the address of its gRPC door."""
    config = receive_config()
    raw = {
        "listen": config.listen.model_dump(include={"otlp_http", "otlp_grpc"}),
        "otlp": {"max_memory": LIMIT, "body_timeout": 2},
        "data_dir": str(config.data_dir),
    }
    server = subprocess.Popen([sys.executable, "-c", MAIN, json.dumps(raw)], stdout=subprocess.PIPE, text=True)
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    yield psutil.Process(server.pid), config.listen.otlp_grpc
    server.kill()
    server.communicate()


def export_in_the_end(address: str, request: ExportTraceServiceRequest) -> None:
    """Send a request as exporters do: again while there is no room for it."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        deadline = time.monotonic() + 60
        code: Any = grpc.StatusCode.UNAVAILABLE
        while code is grpc.StatusCode.UNAVAILABLE and time.monotonic() < deadline:
            code = TraceServiceStub(channel).Export.future(request, timeout=20).code()  # waits for it
    assert code is grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("connections", "streams", "size"), [(5, 8, MESSAGE), (20, MAX_STREAMS, 60_000)], ids=["large", "many"]
)
def test_messages_that_do_not_end_hold_bounded_memory(
    process: tuple[psutil.Process, str], make_request: MakeRequest, connections: int, streams: int, size: int
) -> None:
    """Clients send five times max_memory and never finish: the process stays near it, and honest exports arrive."""
    server, address = process
    before = peak = server.memory_info().rss
    with ExitStack() as stack:
        for _ in range(connections):
            client = stack.enter_context(Http2Client(address))
            calls = [client.open_call() for _ in range(streams)]
            for call in calls:
                client.send(call, prefix(2 * size) + b"x" * size)
                peak = max(peak, server.memory_info().rss)
        assert LIMIT // 2 < peak - before < LIMIT + MARGIN
        with ThreadPoolExecutor(6) as honest:
            list(honest.map(lambda _: export_in_the_end(address, make_request(size=MESSAGE)), range(12)))


def test_half_a_message_counts(
    start_receiver: Callable[..., Any], make_request: MakeRequest, eventually: Callable[..., Any]
) -> None:
    """While one client's unfinished message holds max_memory others are asked to come back; then they are taken."""
    receiver = start_receiver(otlp={"max_memory": 100_000})
    request = make_request(size=1000)

    def export() -> Any:
        with grpc.insecure_channel(receiver.grpc) as channel:
            call = TraceServiceStub(channel).Export.future(request, timeout=20)
            return call.exception() and call.code()

    with Http2Client(receiver.grpc) as client:
        client.send(client.open_call(), prefix(1_000_000) + b"x" * 99_000)
        client.settle()
        assert export() is grpc.StatusCode.UNAVAILABLE
    eventually(lambda: export() is None)


def test_a_frame_that_is_too_large_ends_the_connection_at_its_head(receiver: Any) -> None:
    """A client that announces a frame beyond the limit is not given the time to send it."""
    with Http2Client(receiver.grpc) as client:
        client.socket.sendall(struct.pack(">I", FRAME_BYTES + 1)[1:] + b"\0\0" + struct.pack(">I", 1))
        client.read_to_the_end()


@pytest.mark.parametrize("size", [0, 1000, FRAME_BYTES])
def test_a_head_without_end_is_cut_off_by_size(receiver: Any, size: int) -> None:
    """Header frames that go on and on, empty ones too, end the connection soon."""
    sent = 0
    with Http2Client(receiver.grpc) as client, suppress(ConnectionError):
        kind = 1  # HEADERS; then CONTINUATION
        while sent < 8 * MAX_HEAD_BYTES:
            client.socket.sendall(struct.pack(">I", size)[1:] + bytes([kind, 0]) + struct.pack(">I", 1) + b"\0" * size)
            sent += 9 + size
            kind = 9
        client.read_to_the_end()


def test_headers_that_grow_when_they_are_decompressed_end_the_connection(receiver: Any) -> None:
    """One long field, named again and again by its index, is small on the wire and large in memory."""
    with Http2Client(receiver.grpc) as client:
        client.open_call([*HEADERS, *[("x", "y" * 1000)] * (MAX_HEAD_BYTES // 1000 + 1)])
        client.flush()
        client.read_to_the_end()


@pytest.mark.parametrize("sent", [b"PRI", b"\0\0\x10\1\0\0\0\0\1half"], ids=["preface", "head"])
def test_what_begins_and_does_not_end_is_cut_off(start_receiver: Callable[..., Any], sent: bytes) -> None:
    """Half a preface, or half a head on a connection that is greeted, ends at header_timeout."""
    receiver = start_receiver(otlp={"header_timeout": 0.3, "idle_timeout": 300})
    if sent == b"PRI":
        host, _, port = receiver.grpc.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(sent)
            while connection.recv(65_536):
                pass
        return
    with Http2Client(receiver.grpc) as client:
        client.socket.sendall(sent)
        client.read_to_the_end()


def test_an_answer_waits_for_room_at_its_client(
    receiver: Any, make_request: MakeRequest, eventually: Callable[..., Any]
) -> None:
    """A client that allows no data gets its answer once it does."""
    body = make_request().SerializeToString()
    with Http2Client(receiver.grpc, initial_window_size=0) as client:
        call = client.open_call()
        client.send(call, prefix(len(body)) + body, end=True)
        eventually(receiver.payloads)
        client.settle()
        assert not client.answered(call)
        client.h2.increment_flow_control_window(100, call)
        client.flush()
        assert client.status(call) == "0"


def test_a_client_that_takes_no_answer_is_cut_off(start_receiver: Callable[..., Any]) -> None:
    """A client that never allows its answer loses the connection at body_timeout."""
    receiver = start_receiver(otlp={"body_timeout": 0.3, "idle_timeout": 300})
    with Http2Client(receiver.grpc, initial_window_size=0) as client:
        client.send(client.open_call(), prefix(0), end=True)
        client.read_to_the_end()


async def ask_without_reading(limits: ConnectionLimits) -> None:
    """Send pings on a connection with small buffers until the server ends it."""
    client, server = socket.socketpair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(
        lambda: Http2Connection(make_no_exchange, ConnectionSlots(9), set(), limits), server
    )
    client.setblocking(False)
    pings = (b"\0\0\x08\6\0\0\0\0\0" + b"x" * 8) * 1000
    with client:
        await loop.sock_sendall(client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        while True:
            await loop.sock_sendall(client, pings)


def make_no_exchange(_: Any) -> Any:
    raise AssertionError("there is no call")


def test_a_client_that_asks_and_does_not_read_is_cut_off() -> None:
    """Pings whose answers nobody reads are not read any more, and the connection ends at answer_timeout."""
    with pytest.raises(ConnectionError):
        asyncio.run(asyncio.wait_for(ask_without_reading(ConnectionLimits(connections=9, answer_timeout=0.3)), 20))


def test_calls_that_are_taken_back_cost_nothing(start_receiver: Callable[..., Any], make_request: MakeRequest) -> None:
    """Ten times as many calls as may be open, each with half a message, are reset: memory is free for the next one."""
    receiver = start_receiver(otlp={"max_memory": 100_000})
    body = make_request(size=50_000).SerializeToString()
    with Http2Client(receiver.grpc) as client:
        for _ in range(10 * MAX_STREAMS):
            call = client.open_call()
            client.send(call, prefix(100_000) + b"x" * 100)
            client.h2.reset_stream(call)
            client.flush()
        call = client.open_call()
        client.send(call, prefix(len(body)) + body, end=True)
        assert client.status(call) == "0"


FLOODS = {
    "pings": bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"12345678",
    "settings": bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    "windows": bytes([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    "empty parts of a message": bytes([0, 0, 0, 0, 0, 0, 0, 0, 1]),
    "calls that are taken back": b"",
    "unknown frames": bytes([0, 0, 0, 99, 0, 0, 0, 0, 0]),
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_frames_that_carry_nothing_end_the_connection(receiver: Any, frame: bytes) -> None:
    """A flood of them is not served for as long as the client likes."""
    with Http2Client(receiver.grpc) as client:
        client.open_call()
        client.flush()
        for _ in range(0 if frame else MAX_IDLE_FRAMES // 2):  # two frames each
            client.h2.reset_stream(client.open_call())
        client.socket.sendall(frame * MAX_IDLE_FRAMES or client.h2.data_to_send())
        client.read_to_the_end()
    assert any(
        isinstance(e, ConnectionTerminated) and e.error_code == ErrorCodes.ENHANCE_YOUR_CALM for e in client.events
    )


@pytest.mark.parametrize(
    "message",
    [b"", prefix(9), prefix(9) + b"12345678", prefix(0) * 2, b"\1" + prefix(0)[1:]],
    ids=["none", "only its size", "cut off", "two", "compressed by nothing"],
)
def test_a_call_has_one_whole_message(receiver: Any, message: bytes, eventually: Callable[..., Any]) -> None:
    """Anything else is refused as the client's mistake, and nothing is kept."""
    with Http2Client(receiver.grpc) as client:
        call = client.open_call()
        client.send(call, message, end=True)
        while not client.answered(call):
            client.read()
    eventually(lambda: receiver.journal.counters().get(("requests_refused", "undecodable")) == 1)
    assert receiver.journal.pending() == (0, 0)
