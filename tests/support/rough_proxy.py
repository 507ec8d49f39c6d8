"""A proxy in front of an MLflow tracking server that answers at random what proxies, login pages and bad networks do.

`python -m support.rough_proxy [--seconds 60] [--seed 1]` runs `serve` under load behind it, and counts.
"""

import argparse
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from support.listening import listening
from support.load import Load
from support.mlflow_server import mlflow_server
from support.serving import Server
from support.tally import count, is_settled
from support.waiting import eventually

HTML = b"<!doctype html><html><body><form action=/login>Sign in</form></body></html>"
JSON, TEXT, PAGE = "application/json", "text/plain", "text/html; charset=utf-8"

ANSWERS: dict[str, tuple[int, str, bytes]] = {
    "200 html": (200, PAGE, HTML),
    "200 html as protobuf": (200, "application/x-protobuf", HTML),
    "200 empty": (200, "", b""),
    "200 empty text": (200, TEXT, b""),
    "200 json": (200, JSON, b'{"status": "ok"}'),
    "200 empty object": (200, JSON, b"{}"),
    "200 list": (200, JSON, b"[]"),
    "204": (204, "", b""),
    "302 to a login page": (302, PAGE, b""),
    "400 html": (400, PAGE, HTML),
    "400 json": (400, JSON, b'{"message": "bad request"}'),
    "401": (401, JSON, b'{"message": "token expired"}'),
    "403": (403, PAGE, HTML),
    "404 html": (404, PAGE, HTML),
    "404 json": (404, JSON, b'{"detail": "Not Found"}'),
    "407": (407, PAGE, HTML),
    "422 without a header": (422, JSON, b'{"detail": [{"type": "missing", "loc": ["header"]}]}'),
    "429": (429, TEXT, b"slow down"),
    "500 html": (500, PAGE, HTML),
    "500 json": (500, JSON, b'{"error": "upstream"}'),
    "502": (502, PAGE, HTML),
    "503": (503, TEXT, b"no healthy upstream"),
    "504": (504, PAGE, HTML),
}
"""What it answers in place of the server: status, content type and body."""

BROKEN = ("reset", "reset after", "cut", "cut in the body", "html after", "slow", "hang")
"""What it does to the connection: those other than `reset` after the server has done what was asked."""

ENDLESS = ("drip", "flood")
"""Answers that do not end: a byte now and then, or as many as the network takes."""

LOGIN = "/sso/login"


@dataclass
class RoughProxy:
    """What a running proxy does, and what it has done.

    Attributes:
        upstream: the server's address; without one, every request gets one of the faults.
        faults: what it picks from; empty: it lets everything through.
        share: of the requests, how many get one of the faults.
        blocks: only requests with any of these in their body get one of the faults, as at a web application firewall;
            empty: it does not look at bodies.
        slow, hang: seconds that an answer takes that is late, or too late.
    """

    upstream: str
    rng: random.Random
    share: float
    hang: float
    slow: float = 0.2
    url: str = ""
    faults: tuple[str, ...] = ()
    blocks: tuple[bytes, ...] = ()
    done: Counter[str] = field(default_factory=Counter[str])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pick(self, body: bytes = b"") -> str:
        """Return what to do with a request."""
        with self._lock:
            rough = self.faults and (not self.upstream or self.rng.random() < self.share)
            if self.blocks:
                rough = self.faults and any(word in body for word in self.blocks)
            picked = self.rng.choice(self.faults) if rough else "passed"
            self.done[picked] += 1
        return picked


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: RoughProxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith(LOGIN):
            self.answer(200, PAGE, HTML)
        elif (picked := self.proxy.pick(body)) in ANSWERS:
            self.answer(*ANSWERS[picked])
        elif picked in ENDLESS:
            self.answer_for_ever(b"x" if picked == "drip" else b"x" * 65_536, 0.05 if picked == "drip" else 0)
        elif picked == "reset":
            self.reset()
        else:
            self.pass_on(body, picked)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any

    def pass_on(self, body: bytes, fault: str) -> None:
        status, kind, content = self.ask_server(body)
        if fault == "reset after":
            self.reset()
        elif fault == "html after":
            self.answer(200, PAGE, HTML)
        elif fault == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
            self.close_connection = True
        elif fault == "cut in the body":
            self.answer(status, kind, content, length=len(content) + 1)
            self.close_connection = True
        else:
            time.sleep({"slow": self.proxy.slow, "hang": self.proxy.hang}.get(fault, 0))
            self.answer(status, kind, content)

    def ask_server(self, body: bytes) -> tuple[int, str, bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        connection = HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=60)
        try:
            connection.request(self.command, self.path, body or None, headers | {"Accept-Encoding": "identity"})
            got = connection.getresponse()
            return got.status, got.headers.get("Content-Type", ""), got.read()
        finally:
            connection.close()

    def answer(self, status: int, kind: str, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        if status == HTTPStatus.FOUND:
            self.send_header("Location", f"{LOGIN}?return=secret")
        if kind:
            self.send_header("Content-Type", kind)
        if status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def answer_for_ever(self, part: bytes, pause: float) -> None:
        self.answer(200, JSON, b"", length=1 << 40)
        while True:  # until the client hangs up
            self.wfile.write(part)
            time.sleep(pause)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        with suppress(OSError):  # the client hung up first, or the connection was reset
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output quiet."""


@contextmanager
def rough_proxy(upstream: str = "", seed: int = 1, *, share: float = 0.5, hang: float = 2.0) -> Generator[RoughProxy]:
    """Serve the proxy on a free port."""
    proxy = RoughProxy(upstream, random.Random(seed), share=share, hang=hang)
    with listening(type("Handler", (_Handler,), {"proxy": proxy})) as proxy.url:
        yield proxy


def main() -> int:
    """Print the counts; exit with 1 if anything is lost, cut, doubled, missing or a dead letter."""
    parser = argparse.ArgumentParser(prog="support.rough_proxy")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.4, help="of the requests that get a wrong answer")
    parser.add_argument("--pause", type=float, default=1.0, help="the longest pause of a sender, in seconds")
    arguments = parser.parse_args()
    judges = ("toxicity",)
    with tempfile.TemporaryDirectory(prefix="qualitrace-proxy-") as folder:
        data = Path(folder) / "data"
        data.mkdir(mode=0o700)
        with (
            mlflow_server(data) as upstream,
            rough_proxy(upstream, arguments.seed, share=arguments.share, hang=7.0) as proxy,
        ):
            server = Server(
                Path(folder),
                mlflow={"tracking_uri": proxy.url},
                judges=list(judges),
                sampling={"rate": 0.5},
                variables={"MLFLOW_HTTP_REQUEST_TIMEOUT": "5"},
            )
            server.start()
            load = Load(server.http, server.grpc, seed=str(arguments.seed), pause=arguments.pause)
            try:
                proxy.faults = (*ANSWERS, *BROKEN)
                load.start()
                threading.Event().wait(arguments.seconds)
                load.stop()
                stored_meanwhile = server.sample("qualitrace_traces_total", outcome="stored")
                rough = proxy.done.copy()
                proxy.faults = ()
                eventually(lambda: is_settled(data), timeout=120, interval=0.5)
                letters = server.sample("qualitrace_dead_letters")
                assert server.stop() == 0
            finally:
                server.crash()
            tally = count(data, load.acked, judges)
    print(f"{'answers':16} {sum(rough.values())}, of which passed {rough['passed']}")
    print(f"{'':16} {', '.join(f'{name} {number}' for name, number in sorted(rough.items()) if name != 'passed')}")
    print(f"{'stored meanwhile':16} {stored_meanwhile:.0f}")
    print(f"{'dead letters':16} {letters:.0f}")
    print(tally.table())
    return 0 if tally.is_clean and not letters else 1


if __name__ == "__main__":
    sys.exit(main())
