"""The web port's server: a thread that starts, stops and says what keeps it from listening."""

import signal
import socket
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from qualitrace_monitors.web.server import WebServer, WebServerError

APP = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("here"))])


@pytest.fixture
def server():
    """Provide a server that is not started, on a free port of loopback."""
    made = WebServer(APP, "127.0.0.1", 0)
    yield made
    made.stop()


def answer(server: WebServer) -> str:
    """Return the text of the page."""
    return httpx.get(f"http://127.0.0.1:{server.port}/").text


def test_it_answers_as_soon_as_start_returns(server: WebServer) -> None:
    """After `start` the chosen port is known and answers at once."""
    server.start()
    assert server.port != 0
    assert answer(server) == "here"


def test_starting_and_stopping_twice_is_safe(server: WebServer) -> None:
    """A second start keeps the port, a second stop does nothing, and after it the port is closed."""
    server.start()
    port = server.port
    server.start()
    assert server.port == port
    assert answer(server) == "here"
    server.stop()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        answer(server)


def test_it_starts_again_on_the_same_port(server: WebServer) -> None:
    """A stopped server can be started again, although its old connections linger in TIME_WAIT."""
    server.start()
    port = server.port
    assert answer(server) == "here"
    server.stop()
    server.start()
    assert server.port == port
    assert answer(server) == "here"


def test_stop_ends_its_thread(server: WebServer) -> None:
    """No thread of the server is left after `stop`."""
    server.start()
    assert "web" in {thread.name for thread in threading.enumerate()}
    server.stop()
    assert "web" not in {thread.name for thread in threading.enumerate()}


def test_signal_handlers_stay_as_they_were(server: WebServer) -> None:
    """The process keeps its own handling of SIGINT and SIGTERM."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server.start()
    assert answer(server) == "here"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_address_in_use_is_named() -> None:
    """The error names which address of which port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(WebServerError, match=rf"^web 127\.0\.0\.1:{port}: address already in use$"):
            WebServer(APP, "127.0.0.1", port).start()


def test_a_host_without_an_address_is_named() -> None:
    """A name that does not resolve is an error of the same form, not a traceback of the resolver."""
    with pytest.raises(WebServerError, match=r"^web no-such-host\.invalid:80: \D+$"):
        WebServer(APP, "no-such-host.invalid", 80).start()


def test_an_ipv6_address_stands_in_brackets() -> None:
    """An IPv6 address that is not this host's is shown as it is written in the configuration."""
    with pytest.raises(WebServerError, match=r"^web \[2001:db8::1\]:80: "):
        WebServer(APP, "2001:db8::1", 80).start()
