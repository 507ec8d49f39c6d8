"""An HTTP server for the time of a test."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.listening import listening


@contextmanager
def served(answer: Callable[[str, Any], tuple[int, bytes]]) -> Generator[str]:
    """Serve an app that answers a POST, given its path and its JSON, with a status and a body; gives the app's URL."""

    class App(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    with listening(App) as url:
        yield url
