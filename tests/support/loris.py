"""Clients that hold connections and never get on: half heads, half bodies, idle ones, and readers that do not read.

`python -m support.loris [--connections 1500] [--seconds 60]` holds so many at the web port and as many at the OTLP ports
of a `serve` under load, opens another for each that is closed, and counts.
"""

import argparse
import resource
import select
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import httpx

from support.load import Load
from support.memory import Memory
from support.serving import Server
from support.tally import Tally, count, is_settled
from support.waiting import eventually

JUDGES = ("toxicity",)
DRIP_SECONDS = 1.0
GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

WEB = (
    b"",
    GET % b"/readyz" + b"X: ",
    GET % b"/" + b"Content-Length: 1000000\r\n\r\nx",
    GET % b"/healthz" + b"\r\n",
    (GET % b"/" + b"\r\n") * 8,
    (GET % b"/metrics" + b"\r\n") * 8,
)
"""What clients of the web port begin with. They read nothing, and add a byte now and then to what is not complete."""
OTLP_HTTP = (
    b"",
    POST + b"X: ",
    POST + b"Content-Length: 1000000\r\n\r\nx",
    POST + b"Content-Length: 0\r\n\r\n",
    (POST + b"Content-Length: 0\r\n\r\n") * 8,
)
OTLP_GRPC = (b"", HTTP2, HTTP2 + b"\0\0\0\4\0\0\0\0\0")


class Loris:
    """Holds `number` connections to an address, which begin with `beginnings` by turns.

    Attributes:
        opened: how many it has opened; more than `number` when the server closed some.
    """

    def __init__(self, address: str, beginnings: Sequence[bytes], number: int) -> None:
        host, _, port = address.rpartition(":")
        self.opened = 0
        self._address = (host, int(port))
        self._beginnings = cycle(beginnings)
        self._number = number
        self._held: dict[int, socket.socket] = {}
        self._dripping: set[int] = set()
        self._poll = select.poll()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Open all of them; keep as many open from here on."""
        self._fill()
        self._thread.start()

    def stop(self) -> None:
        """Close all of them."""
        self._stop.set()
        self._thread.join()
        for connection in self._held.values():
            connection.close()

    def _run(self) -> None:
        while not self._stop.wait(DRIP_SECONDS):
            for descriptor, _ in self._poll.poll(0):  # nothing but the server's end of it
                self._poll.unregister(descriptor)
                self._dripping.discard(descriptor)
                self._held.pop(descriptor).close()
            for descriptor in self._dripping:
                with suppress(OSError):
                    self._held[descriptor].send(b"x")
            self._fill()

    def _fill(self) -> None:
        while len(self._held) < self._number and not self._stop.is_set():
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that the server keeps the answer
            connection.settimeout(5)
            try:
                connection.connect(self._address)
                connection.setblocking(False)
                connection.send(beginning := next(self._beginnings))
            except OSError:
                connection.close()
                return  # the server has no room now
            self.opened += 1
            self._held[connection.fileno()] = connection
            if beginning and not beginning.endswith((b"\r\n\r\n", b"\0")):
                self._dripping.add(connection.fileno())
            self._poll.register(connection, select.POLLRDHUP)


class Probe:
    """Asks `/readyz` twice a second, as a supervisor does.

    Attributes:
        answers: how often each status was answered; 0 is none.
        slowest: seconds.
    """

    def __init__(self, web: str) -> None:
        self.answers: Counter[int] = Counter()
        self.slowest = 0.0
        self._url = f"http://{web}/readyz"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        context = httpx.create_ssl_context(verify=False)  # made once: it takes longer than the answer
        while not self._stop.wait(0.5):
            started = time.monotonic()
            try:
                status = httpx.get(self._url, timeout=10, verify=context).status_code
            except httpx.TransportError:
                status = 0
            self.answers[status] += 1
            self.slowest = max(self.slowest, time.monotonic() - started)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was seen.

    Attributes:
        tally: of the traces that were sent meanwhile.
        ready: the answers of `/readyz`, and the seconds of the slowest.
        log_bytes: written meanwhile.
        memory: the most megabytes of each process.
        opened: connections, by door.
    """

    tally: Tally
    ready: Counter[int]
    slowest: float
    log_bytes: int
    memory: dict[str, float]
    opened: dict[str, int]

    def table(self) -> str:
        """Return a few lines of text."""
        memory = ", ".join(f"{name} {size:.0f} MB" for name, size in self.memory.items())
        return (
            f"{'opened':16} {self.opened}\n{'/readyz':16} {dict(self.ready)}, the slowest in {self.slowest:.2f} s\n"
            f"{'log':16} {self.log_bytes} bytes\n{'memory':16} {memory}\n{self.tally.table()}"
        )


def loris_run(folder: Path, *, seconds: float, connections: int) -> Outcome:
    """Run `serve` under load and so many connections at the web port, and at the OTLP ports; then let it finish."""
    _raise_descriptor_limit(2 * connections + 500)
    server = Server(folder, judges=list(JUDGES), sampling={"rate": 0.5}).start()
    log, data = folder / "serve.log", folder / "data"
    half = connections // 2
    lorises = {
        "web": Loris(server.web, WEB, connections),
        "otlp_http": Loris(server.http, OTLP_HTTP, half),
        "otlp_grpc": Loris(server.grpc, OTLP_GRPC, half),
    }
    memory = Memory(server.children).start()
    probe, load = Probe(server.web), Load(server.http, server.grpc, seed="loris", pause=0.5)
    try:
        begun = log.stat().st_size
        for loris in lorises.values():
            loris.start()
        probe.start()
        load.start()
        threading.Event().wait(seconds)
        load.stop()
        eventually(lambda: is_settled(data), timeout=120, interval=0.5)
        probe.stop()
        memory.stop()
        log_bytes = log.stat().st_size - begun
        for loris in lorises.values():
            loris.stop()
        assert server.stop() == 0
    finally:
        server.crash()
    return Outcome(
        tally=count(data, load.acked, JUDGES),
        ready=probe.answers,
        slowest=probe.slowest,
        log_bytes=log_bytes,
        memory=memory.largest,
        opened={name: loris.opened for name, loris in lorises.items()},
    )


def _raise_descriptor_limit(needed: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= needed, f"needs {needed} file descriptors, 'ulimit -Hn' is {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))


def main() -> int:
    """Print what was seen; exit with 1 if a trace was lost or `/readyz` failed."""
    parser = argparse.ArgumentParser(prog="support.loris")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=1500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qualitrace-loris-") as folder:
        outcome = loris_run(Path(folder), seconds=arguments.seconds, connections=arguments.connections)
    print(outcome.table())
    return 0 if outcome.tally.is_clean and outcome.ready.keys() == {200} else 1


if __name__ == "__main__":
    sys.exit(main())
