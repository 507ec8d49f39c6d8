"""What a client of an HTTP port can hold: answers that it does not read, requests in a row, its place."""

import socket
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from qualitrace_collector.http_server.connection import MAX_PIPELINED, MAX_UNREAD_BYTES, ConnectionLimits
from qualitrace_collector.http_server.listener import listen
from qualitrace_collector.http_server.server import HttpServer
from support.waiting import eventually

PAGE = b"x" * (8 << 20)  # more than the buffers of two sockets
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSING = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PATIENT = ConnectionLimits(connections=100, answer_timeout=300)


async def page(_request: Request) -> Response:
    """Answer with a page that is sent only while it is read."""
    return Response(PAGE)


async def echo(request: Request) -> Response:
    """Answer with the body of the request."""
    return Response(await request.body())


APP = Starlette(
    routes=[
        Route("/", page),
        Route("/short", lambda _: PlainTextResponse("here")),
        Route("/echo", echo, methods=["POST"]),
    ]
)


@dataclass
class Port:
    """A port that is served, and the test's clients of it."""

    server: HttpServer
    address: tuple[str, int]
    clients: ExitStack

    def connect(self, data: bytes) -> socket.socket:
        client = self.clients.enter_context(socket.create_connection(self.address, timeout=20))
        client.sendall(data)
        return client

    def connections(self) -> int:
        """Return how many clients the server knows."""
        return len(self.server.server_state.connections)


@contextmanager
def serving(limits: ConnectionLimits) -> Generator[Port]:
    """Serve APP in a thread."""
    with listen("web", "127.0.0.1:0") as listener, ExitStack() as clients:
        server = HttpServer(APP, limits, 1)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield Port(server, listener.getsockname(), clients)
        finally:
            clients.close()
            server.should_exit = True
            thread.join()


def read_all(client: socket.socket) -> int:
    """Read until the server ends the connection, in order or not; return how many bytes came."""
    count = 0
    with suppress(ConnectionResetError):
        while part := client.recv(1 << 20):
            count += len(part)
    return count


@pytest.mark.parametrize(
    "request_", [GET % b"/", GET % b"/" * 2, CLOSING % b"/"],
    ids=["kept open", "two in a row", "to be closed"],
)  # fmt: skip
def test_an_answer_that_nobody_reads_is_given_up(request_: bytes) -> None:
    """At answer_timeout the connection ends, whatever the client wanted of it, and the rest of the answer is freed."""
    with serving(ConnectionLimits(connections=10, answer_timeout=0.3)) as port:
        client = port.connect(request_)
        eventually(lambda: port.connections() == 1)
        eventually(lambda: port.connections() == 0)
        assert read_all(client) < len(PAGE)


def test_a_slow_reader_that_reads_gets_all_of_it() -> None:
    """A client that pauses, but is done in time, misses nothing; and the time begins anew with each answer."""
    with serving(ConnectionLimits(connections=10, answer_timeout=3)) as port:
        client = port.connect(GET % b"/" + CLOSING % b"/")
        threading.Event().wait(0.2)
        assert read_all(client) > 2 * len(PAGE)


def test_unread_answers_hold_bounded_memory() -> None:
    """When they are too large together, the one that has waited for longest is given up, and the last ones are whole."""
    with serving(PATIENT) as port:
        clients = [
            port.connect(CLOSING % b"/") for _ in range(4 * MAX_UNREAD_BYTES // len(PAGE))
        ]  # sockets hold a part
        assert all(client.recv(1) for client in clients)
        sizes = [read_all(client) for client in clients]
        assert min(sizes) < len(PAGE) < max(sizes)


def test_requests_in_a_row_are_bounded() -> None:
    """As many as may are all answered; a client that sends many more at once is cut off, and nobody else notices."""
    with serving(PATIENT) as port:
        assert read_all(port.connect(GET % b"/short" * MAX_PIPELINED + CLOSING % b"/short")) > MAX_PIPELINED * len(
            b"HTTP/1.1 200 OK"
        )
        greedy = port.connect(GET % b"/short" * 4000)
        assert read_all(greedy) < 4000
        assert port.connect(GET % b"/short").recv(15) == b"HTTP/1.1 200 OK"


def test_an_offer_of_another_protocol_costs_no_body() -> None:
    """A request that offers HTTP/2, as Java's client sends it, is served over HTTP/1.1 with its body."""
    head = (
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nupgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
        b"Connection: Upgrade, HTTP2-Settings, close\r\n\r\n"
    )
    with serving(PATIENT) as port:
        client = port.connect(head + b"body\r\nUpgrade: stays")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nbody\r\nUpgrade: stays")
