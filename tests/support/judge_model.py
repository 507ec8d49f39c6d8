"""An OpenAI-compatible provider whose model judges: it fails answers with a marker in them, and passes the rest.

It speaks the form of our judges and, beside it, that of MLflow's.
"""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MARKER = "pineapple"


@contextmanager
def judge_model(status: int = 200) -> Generator[tuple[str, list[dict[str, Any]]]]:
    """Serve it, answering with an HTTP status; gives the base URL and the requests that came in."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(body)
            bad = MARKER in json.dumps(body["messages"])
            verdict = {
                "evidence": MARKER if bad else "",
                "reason": "it speaks of fruit" if bad else "it is fine",
                "score": 0.0 if bad else 1.0,
                "verdict": "fail" if bad else "pass",
                "result": "no" if bad else "yes",
                "rationale": "it speaks of fruit" if bad else "it is fine",
            }
            answer = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "finish_reason": "stop",
                        "message": {"role": "assistant", "content": json.dumps(verdict)},
                    }
                ],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
            }
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()
