"""The web port's server: a thread that starts, stops and says what keeps it from listening."""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from qualitrace_collector.http_server.listener import ListenError
from qualitrace_monitors.web.server import WebServer
from support import plain_http

APP = Starlette(routes=[Route("/", lambda _request: PlainTextResponse("here"))])

# Serves with few descriptors, and keeps opening a quarter of them, as storing and judging do. It prints its port, and
# at the end of its input how often that failed.
BUSY = """
import resource, sys, threading
from contextlib import ExitStack
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from qualitrace_monitors.web.server import WebServer
failures, done = 0, threading.Event()
def work():
    global failures
    while not done.is_set():
        try:
            with ExitStack() as files:
                for _ in range(64):
                    files.enter_context(open("/dev/null"))
        except OSError:
            failures += 1
with WebServer(Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])) as server:
    thread = threading.Thread(target=work)
    thread.start()
    print(server.port, flush=True)
    sys.stdin.read()
    done.set()
    thread.join()
print(failures)
"""


@pytest.fixture
def server():
    """Provide a server that is not started, on a free port of loopback."""
    made = WebServer(APP)
    yield made
    made.stop()


def answer(server: WebServer) -> str:
    """Return the text of the page."""
    return plain_http.get(f"http://127.0.0.1:{server.port}/").text


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
        with pytest.raises(ListenError, match=rf"^web 127\.0\.0\.1:{port}: address already in use; .*listen\.web$"):
            WebServer(APP, f"127.0.0.1:{port}").start()


def test_a_host_without_an_address_is_named() -> None:
    """A name that does not resolve is an error of the same form, not a traceback of the resolver."""
    with pytest.raises(ListenError, match=r"^web no-such-host\.invalid:80: \D+$"):
        WebServer(APP, "no-such-host.invalid:80").start()


def test_an_ipv6_address_stands_in_brackets() -> None:
    """An IPv6 address that is not this host's is shown as it is written in the configuration."""
    with pytest.raises(ListenError, match=r"^web \[2001:db8::1\]:80: "):
        WebServer(APP, "[2001:db8::1]:80").start()


@pytest.mark.slow
def test_half_open_requests_take_no_descriptors_from_the_rest_of_the_process() -> None:
    """Under more of them than the process may have files, it opens every file it needs and still answers, silently."""
    command = [sys.executable, "-c", BUSY]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process, ExitStack() as clients:
        assert process.stdout
        port = int(process.stdout.readline())
        for _ in range(3):
            process.send_signal(signal.SIGSTOP)  # so that all of them are there at once
            for _ in range(300):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
            process.send_signal(signal.SIGCONT)
            assert plain_http.get(f"http://127.0.0.1:{port}/", timeout=30).text == "here"
        assert process.communicate(timeout=20) == ("0\n", "")
