"""Slow, idle and endless senders: each is cut off in time, and honest clients do not notice them."""

import http.client
import json
import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from qualitrace_collector.http_server.connection import MAX_HEAD_BYTES
from qualitrace_collector.http_server.frames import MAX_STREAMS

pytestmark = pytest.mark.slow

MakeRequest = Callable[..., ExportTraceServiceRequest]
Connect = Callable[..., socket.socket]

HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
EMPTY_REQUEST = HEAD + b"Content-Length: 0\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HONEST_SECONDS = 4.0
IDLE_CONNECTIONS = int(os.environ.get("QUALITRACE_TEST_CONNECTIONS", "2000"))

# The argument is the configuration as JSON. The soft limit is as low as some systems set it.
MAIN = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from qualitrace_collector.config import parse_config
from qualitrace_collector.receive.server import main
from qualitrace_collector.receive.settings import ReceiveConfig
sys.exit(main(parse_config(json.loads(sys.argv[1]), ReceiveConfig), lambda: print("ready", flush=True)))
"""


@pytest.fixture
def connect() -> Generator[Connect]:
    """Open a raw connection to an address and send some bytes; it is closed after the test."""
    with ExitStack() as stack:

        def open_connection(address: str, data: bytes = b"") -> socket.socket:
            host, _, port = address.rpartition(":")
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            connection.sendall(data)
            return connection

        yield open_connection


def rest_of(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    parts: list[bytes] = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def answer_on(connection: socket.socket) -> bytes:
    """Read the answer to one request with an empty body."""
    parts = b""
    while b"\r\n\r\n" not in parts:
        part = connection.recv(65_536)
        assert part, "the connection was closed"
        parts += part
    return parts


def is_open(connection: socket.socket) -> bool:
    """Return whether the server has not closed the connection, without waiting."""
    readable, _, _ = select.select([connection], [], [], 0)
    try:
        return not readable or connection.recv(1, socket.MSG_PEEK) != b""
    except ConnectionError:
        return False


def trickle(connection: socket.socket, data: bytes, eventually: Callable[..., Any]) -> None:
    """Send the same bytes again and again, a few at a time, until the server closes the connection."""

    def closed() -> bool:
        try:
            connection.sendall(data)
        except ConnectionError:
            return True
        return False

    eventually(closed)


def export_quickly(receiver: Any, request: ExportTraceServiceRequest) -> None:
    """Send an honest request over a new connection of each door; both must be acked in time."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    connection.request("POST", "/v1/traces", request.SerializeToString(), {"Content-Type": "application/x-protobuf"})
    assert connection.getresponse().status == 200
    connection.close()
    with grpc.insecure_channel(receiver.grpc) as channel:
        TraceServiceStub(channel).Export(request, timeout=20)
    assert time.monotonic() - started < 2 * HONEST_SECONDS


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"POST /v1/traces HTTP/1.1\r\nHost:", EMPTY_REQUEST + b"POST"],
    ids=["nothing", "a line end", "half a head", "half a head behind a request"],
)
def test_a_head_that_does_not_end_is_cut_off(start_receiver: Callable[..., Any], connect: Connect, data: bytes) -> None:
    """However it stalls, the connection ends at header_timeout, long before idle_timeout; what was whole is answered."""
    receiver = start_receiver(otlp={"header_timeout": 0.3, "idle_timeout": 300})
    answer = rest_of(connect(receiver.http, data))
    assert answer.count(b"HTTP/1.1 200 OK") == data.count(EMPTY_REQUEST)


@pytest.mark.parametrize("data", [b"\r\n", b"POST"], ids=["a line end", "half a head"])
def test_a_second_head_that_does_not_end_is_cut_off(
    start_receiver: Callable[..., Any], connect: Connect, data: bytes
) -> None:
    """A sender that was answered once gets no more time for its next head than others."""
    receiver = start_receiver(otlp={"header_timeout": 0.3, "idle_timeout": 300})
    connection = connect(receiver.http, EMPTY_REQUEST)
    answer_on(connection)
    connection.sendall(data)
    assert rest_of(connection) == b""


@pytest.mark.parametrize("data", [b"\r\n", b"a"], ids=["line ends", "header bytes"])
def test_trickling_a_head_gains_no_time(
    start_receiver: Callable[..., Any], connect: Connect, eventually: Callable[..., Any], data: bytes
) -> None:
    """A byte now and then does not put off the end: the time counts from the connection."""
    receiver = start_receiver(otlp={"header_timeout": 0.3, "idle_timeout": 300})
    trickle(connect(receiver.http, HEAD + b"X: " if data == b"a" else b""), data, eventually)


def test_a_body_that_does_not_end_is_told_and_cut_off(
    start_receiver: Callable[..., Any], connect: Connect, eventually: Callable[..., Any]
) -> None:
    """At body_timeout the sender gets 408 with a Status, the connection ends, the refusal is counted."""
    receiver = start_receiver(otlp={"body_timeout": 0.3, "idle_timeout": 300})
    head, _, body = rest_of(connect(receiver.http, HEAD + b"Content-Length: 9\r\n\r\nab")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in head.lower()
    assert Status.FromString(body).code == code_pb2.DEADLINE_EXCEEDED
    eventually(lambda: receiver.journal.counters().get(("requests_refused", "slow")) == 1)


def test_an_idle_connection_ends_at_its_time(start_receiver: Callable[..., Any], connect: Connect) -> None:
    """After its answer a connection is kept for idle_timeout, which here outlasts header_timeout, and then closed."""
    receiver = start_receiver(otlp={"header_timeout": 0.2, "idle_timeout": 1})
    connection = connect(receiver.http, EMPTY_REQUEST)
    answer_on(connection)
    started = time.monotonic()
    assert rest_of(connection) == b""
    assert time.monotonic() - started > 0.7


@pytest.mark.parametrize(
    "start",
    [b"POST /", HEAD + b"X: ", CHUNKED + b"5;", CHUNKED + b"0\r\nX: "],
    ids=["path", "header", "chunk extension", "trailer"],
)
def test_endless_framing_is_cut_off_by_size(
    receiver: Any, connect: Connect, eventually: Callable[..., Any], start: bytes
) -> None:
    """Nobody fills the memory with what is not a body: soon after 64 KiB of it the sender gets 400 and the end."""
    connection = connect(receiver.http, start)
    sent = len(start)
    with suppress(ConnectionError):
        while is_open(connection):
            connection.sendall(b"a" * 8192)
            sent += 8192
            assert sent < 64 * MAX_HEAD_BYTES
    assert sent > MAX_HEAD_BYTES


def test_small_chunks_are_no_endless_framing(receiver: Any, make_request: MakeRequest, connect: Connect) -> None:
    """A body in chunks of a byte each, whose framing is five times as large, is taken."""
    body = make_request(size=3 * MAX_HEAD_BYTES // 5).SerializeToString()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    connection = connect(receiver.http, CHUNKED + chunks + b"0\r\n\r\n")
    assert answer_on(connection).startswith(b"HTTP/1.1 200")
    assert receiver.payloads() == [body]


def test_bodies_under_way_hold_bounded_memory(
    start_receiver: Callable[..., Any], connect: Connect, make_request: MakeRequest, eventually: Callable[..., Any]
) -> None:
    """While a stalled body holds max_memory others are asked to come back; when it is gone they are taken."""
    receiver = start_receiver(otlp={"max_memory": 100_000})
    stalled = connect(receiver.http, HEAD + b"Content-Length: 99001\r\n\r\n" + b"x" * 99_000)
    body = make_request(size=2000).SerializeToString()

    def post() -> int:
        connection = http.client.HTTPConnection(receiver.http, timeout=20)
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        assert response.headers["Retry-After"] == (None if response.status == 200 else "1")
        connection.close()
        return response.status

    eventually(lambda: post() == 503)
    stalled.close()
    eventually(lambda: post() == 200)
    assert receiver.journal.counters()["requests_refused", "busy"] >= 1


def test_a_request_that_is_alone_may_be_larger(start_receiver: Callable[..., Any], make_request: MakeRequest) -> None:
    """max_memory below a request's size slows senders down but refuses none for ever, at either door."""
    receiver = start_receiver(otlp={"max_memory": 1000})
    export_quickly(receiver, make_request(size=2000))
    assert len(receiver.payloads()) == 2


def test_a_new_connection_gets_the_place_of_a_stranger(
    start_receiver: Callable[..., Any], connect: Connect, eventually: Callable[..., Any]
) -> None:
    """Of three places the one of the sender that never sent a request is taken, then the longest idle one's."""
    receiver = start_receiver(otlp={"max_connections": 3})
    older, newer = (connect(receiver.http, EMPTY_REQUEST) for _ in range(2))
    assert all(answer_on(connection).startswith(b"HTTP/1.1 200") for connection in (older, newer))
    stranger = connect(receiver.http, b"POST")
    first = connect(receiver.http, EMPTY_REQUEST)
    assert answer_on(first).startswith(b"HTTP/1.1 200")
    eventually(lambda: not is_open(stranger))
    assert is_open(older)
    second = connect(receiver.http, EMPTY_REQUEST)
    assert answer_on(second).startswith(b"HTTP/1.1 200")
    eventually(lambda: not is_open(older))
    assert is_open(newer)


def test_a_request_under_way_never_loses_its_place(start_receiver: Callable[..., Any], connect: Connect) -> None:
    """With every place taken by a request under way a new connection is closed, and the request ends well."""
    receiver = start_receiver(otlp={"max_connections": 1})
    busy = connect(receiver.http, HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert answer_on(busy).startswith(b"HTTP/1.1 100")  # so that its head was read
    assert rest_of(connect(receiver.http, EMPTY_REQUEST)) == b""
    busy.sendall(b"\x0a\x00")
    assert answer_on(busy).startswith(b"HTTP/1.1 200")


def test_requests_in_a_row_are_all_answered(receiver: Any, connect: Connect) -> None:
    """Several requests sent at once on one connection are answered one after the other; it is idle only then."""
    connection = connect(receiver.http, EMPTY_REQUEST * 5 + HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    assert rest_of(connection).count(b"HTTP/1.1 200 OK") == 6


def test_a_grpc_message_that_does_not_come_is_cut_off(start_receiver: Callable[..., Any]) -> None:
    """A call that never sends its message ends at body_timeout as DEADLINE_EXCEEDED."""
    receiver = start_receiver(otlp={"body_timeout": 0.3})
    never = threading.Event()
    with grpc.insecure_channel(receiver.grpc) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(EXPORT)(iter(lambda: never.wait() and b"", b"end"), timeout=20)
        never.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert "body did not end within 0.3 s" in caught.value.details()  # type: ignore[attr-defined]


def test_one_grpc_connection_has_so_many_requests_at_once(receiver: Any) -> None:
    """Beyond MAX_STREAMS stalled calls further ones of that client wait; another client is served meanwhile."""
    never = threading.Event()
    with (
        grpc.insecure_channel(receiver.grpc) as channel,
        grpc.insecure_channel(receiver.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as other,
    ):
        stalled = channel.stream_unary(EXPORT)
        calls = [stalled.future(iter(lambda: never.wait() and b"", b"end")) for _ in range(MAX_STREAMS)]
        with pytest.raises(grpc.RpcError) as caught:
            TraceServiceStub(channel).Export(ExportTraceServiceRequest(), timeout=1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
        TraceServiceStub(other).Export(ExportTraceServiceRequest(), timeout=20)
        for call in calls:
            call.cancel()
        never.set()


def test_an_idle_grpc_connection_ends(start_receiver: Callable[..., Any]) -> None:
    """After idle_timeout without a request the server says goodbye; the client's next request connects anew."""
    receiver = start_receiver(otlp={"idle_timeout": 1})
    seen: list[grpc.ChannelConnectivity] = []
    idle_again = threading.Event()

    def watch(state: grpc.ChannelConnectivity) -> None:
        seen.append(state)
        if state is grpc.ChannelConnectivity.IDLE and grpc.ChannelConnectivity.READY in seen:
            idle_again.set()

    with grpc.insecure_channel(receiver.grpc) as channel:
        channel.subscribe(watch)
        stub = TraceServiceStub(channel)
        stub.Export(ExportTraceServiceRequest(), timeout=20)
        assert idle_again.wait(20)
        stub.Export(ExportTraceServiceRequest(), timeout=20)


@pytest.fixture
def process(receive_config: Callable[..., Any]) -> Generator[Any]:
    """A receiver in a process of its own, as it raises its limit of file descriptors itself."""
    config = receive_config()
    raw = {"listen": config.listen.model_dump(include={"otlp_http", "otlp_grpc"}), "data_dir": str(config.data_dir)}
    command = [sys.executable, "-c", MAIN, json.dumps(raw)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    yield config.listen
    server.kill()
    server.communicate()


@pytest.fixture
def many_descriptors() -> Generator[None]:
    """Let this process hold as many connections as the test opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = IDLE_CONNECTIONS + 500
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"needs {needed} file descriptors, 'ulimit -Hn' is {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Doors:
    """The addresses of a receiver in another process."""

    def __init__(self, listen: Any) -> None:
        self.http, self.grpc = listen.otlp_http, listen.otlp_grpc


@pytest.mark.parametrize("data", [b"", EMPTY_REQUEST], ids=["never sent a request", "sent one"])
@pytest.mark.usefixtures("many_descriptors")
def test_idle_connections_do_not_stop_honest_clients(
    process: Any, connect: Connect, make_request: MakeRequest, data: bytes
) -> None:
    """Beside thousands of connections that do nothing at either door an honest export ends within two seconds each."""
    for _ in range(IDLE_CONNECTIONS // 2):
        connect(process.otlp_http, data)
        connect(process.otlp_grpc, HTTP2_PREFACE if data else b"")
    export_quickly(_Doors(process), make_request())


def test_a_slow_loris_does_not_stop_honest_clients(
    start_receiver: Callable[..., Any], connect: Connect, make_request: MakeRequest
) -> None:
    """Four hundred heads and bodies that trickle, more than there are places, do not hold up an honest export."""
    receiver = start_receiver(otlp={"max_connections": 300})
    heads = [connect(receiver.http, b"POST /v1/traces HTTP/1.1\r\nX: ") for _ in range(200)]
    bodies = [connect(receiver.http, HEAD + b"Content-Length: 1000\r\n\r\n") for _ in range(200)]
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            for connection in (*heads, *bodies):
                with suppress(OSError):
                    connection.sendall(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        for _ in range(5):
            export_quickly(receiver, make_request())
    finally:
        stop.set()
        dripping.join()
    assert len(receiver.payloads()) == 10
