"""A gate in front of an HTTP server: it lets through who has the credentials, and can be shut."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import httpx

from support.listening import listening

_HOP_BY_HOP = {"connection", "content-encoding", "content-length", "date", "server", "transfer-encoding"}


@dataclass
class Gate:
    """Attributes: `status`, which it answers with while it is shut (0: it is open); `refused`, how often it did."""

    wanted: str
    url: str = ""
    status: int = 0
    refused: list[int] = field(default_factory=list[int])


@contextmanager
def gate(upstream: str, authorization: str) -> Generator[Gate]:
    """Serve the gate to `upstream` on a free port; others than with this `Authorization` get a 401."""
    made = Gate(authorization)
    client = httpx.Client(base_url=upstream, timeout=60)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status = made.status or (401 if self.headers.get("Authorization") != made.wanted else 0)
            if status:
                made.refused.append(status)
                self.answer(status, b"refused by the gate", {"Content-Type": "text/plain"})
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "authorization")}
            got = client.request(self.command, self.path, content=body, headers=headers)
            self.answer(got.status_code, got.content, {k: v for k, v in got.headers.items() if k not in _HOP_BY_HOP})

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    with client, listening(Handler) as made.url:
        yield made
