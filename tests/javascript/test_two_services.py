"""A Python caller and the Node service that the page shows are one trace, of one session."""

import json
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from javascript.run import HERE, Sent, environment, sent_to
from libraries.expectation import mistakes, seen
from libraries.providers import openai
from libraries.providers.script import WARRANTY, WARRANTY_ANSWER
from support.listening import listening
from support.node import NODE
from support.ports import free_port
from support.receiving import receive_config, receiving
from support.serving import QUALITRACE
from support.serving import environment as variables
from support.waiting import eventually

pytestmark = pytest.mark.slow

CALLER = """
import sys
import httpx
import qualitrace

@qualitrace.trace
def ask(question):
    return httpx.get(sys.argv[1], params={"question": question}).text

with qualitrace.session("session-1", user="ada", prompt_version="v2"):
    print(ask(sys.argv[2]))
"""


def test_one_trace_and_one_session(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """On every span of both services; the model's provider hears of neither."""
    place = environment(HERE / "openai", pytestconfig.cache.mkdir("javascript"))
    headers: list[Any] = []
    with model(headers) as llm, receiving(receive_config(tmp_path)) as collector:
        endpoint = f"http://{collector.http}"
        with service(place, endpoint, llm) as address:
            start = [*QUALITRACE, "run", "--service-name", "desk", "--endpoint", endpoint, "--"]
            done = subprocess.run(
                [*start, sys.executable, "-c", CALLER, address, WARRANTY],
                env=variables(QUALITRACE_BAGGAGE_HOSTS=address.removeprefix("http://")),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.stdout == f"{WARRANTY_ANSWER}\n", done.stderr
        sent = sent_to(collector)
    expected = {"question": WARRANTY, "answer": WARRANTY_ANSWER, "tokens": [21, 9], "calls": 1}
    assert mistakes(expected | {"session": "session-1", "user": "ada"}, seen(sent.traces, sent.logs)) == []
    named = {"session.id": "session-1", "user.id": "ada", "qualitrace.prompt.version": "v2"}
    assert spans(sent, named) == {("desk", *named.values()), ("shop", *named.values())}
    assert [(given.get("traceparent"), given.get("baggage")) for given in headers] == [(None, None)]


def spans(sent: Sent, names: Any) -> set[tuple[str, ...]]:
    """Return each span's service, and its values of these attributes."""
    found: set[tuple[str, ...]] = set()
    for resource in sent.traces.resource_spans:
        own = {item.key: item.value.string_value for item in resource.resource.attributes}
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            values = {item.key: item.value.string_value for item in span.attributes}
            found.add((own["service.name"], *(values.get(name, "") for name in names)))
    return found


@contextmanager
def service(place: Path, endpoint: str, llm: str) -> Generator[str]:
    """Run the page's service in the block, and let it end as a server ends."""
    port = free_port()
    settings = {
        "PORT": str(port),
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OPENAI_BASE_URL": f"{llm}/v1",
        "OPENAI_API_KEY": "k",
    }
    process = subprocess.Popen([NODE, "service.mjs"], cwd=place, env=variables(**settings))
    try:
        eventually(lambda: not socket.create_connection(("127.0.0.1", port)).close())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def model(headers: list[Any]) -> Generator[str]:
    """Answer as OpenAI does in the block, and keep the headers of the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers.append(self.headers)
            answer = openai.chat(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(answer.status)
            self.send_header("content-type", answer.content_type)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    with listening(Handler) as address:
        yield address
