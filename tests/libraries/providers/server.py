"""One server for all protocols: the path tells which one is spoken."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from libraries.providers import anthropic, openai
from libraries.providers.answer import Answer
from libraries.providers.script import BROKEN_MODEL

Respond = Callable[[dict[str, Any]], Answer]

PROTOCOLS: tuple[tuple[str, Respond], ...] = (
    (r"/chat/completions$", openai.chat),
    (r"/responses$", openai.responses),
    (r"/embeddings$", openai.embeddings),
    (r"/messages$", anthropic.messages),
)
"""By a regular expression that is looked for in the path; the first one counts."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = _answer(self.path.partition("?")[0], json.loads(body or b"{}"))
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        return


def _answer(path: str, asked: dict[str, Any]) -> Answer:
    if BROKEN_MODEL in path or asked.get("model") == BROKEN_MODEL:
        return Answer.json({"error": {"message": "the model is broken", "type": "server_error"}}, 500)
    for pattern, respond in PROTOCOLS:
        if re.search(pattern, path):
            return respond(asked)
    return Answer.json({"error": {"message": f"no such path: {path}"}}, 404)


@contextmanager
def provider() -> Iterator[str]:
    """Serve on loopback in the block; return the base URL, without a path."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
