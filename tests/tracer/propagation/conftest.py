"""Services that remember what they were asked."""

from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from support.listening import listening
from tracer.conftest import _chat


class Service:
    """An HTTP service on loopback. `/redirect?to=URL` sends the client on; a POST is answered as providers of models do.

    Attributes:
        address: its URL, without a path.
        asked: headers of the requests, with their names in lower case, by the last part of the path.
    """

    def __init__(self) -> None:
        self.address = ""
        self.asked: dict[str, dict[str, str]] = {}

    def handler(self) -> type[BaseHTTPRequestHandler]:
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                to = parse_qs(url.query).get("to")
                self._answer(302 if to else 200, "text/plain", b"hello", *([("location", to[0])] if to else []))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self._answer(*_chat(self.path, dict(self.headers), body))

            def _answer(self, status: int, kind: str, body: bytes, *headers: tuple[str, str]) -> None:
                name = urlsplit(self.path).path.rpartition("/")[2]
                asked[name] = {key.lower(): value for key, value in self.headers.items()}
                self.send_response(status)
                for key, value in (("content-type", kind), ("content-length", str(len(body))), *headers):
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler


@pytest.fixture
def services() -> Iterator[tuple[Service, Service]]:
    """Two services."""
    with ExitStack() as stack:
        both = Service(), Service()
        for service in both:
            service.address = stack.enter_context(listening(service.handler()))
        yield both
