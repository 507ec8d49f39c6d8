"""What the tracer talks to, for real on loopback: an OTLP receiver, and providers' chat APIs with canned answers."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import qualitrace

DEADLINE = 20.0


@dataclass(frozen=True)
class Received:
    """A span as it arrived."""

    name: str
    attributes: dict[str, Any]
    trace_id: str
    span_id: str
    parent_id: str
    status: int
    message: str
    events: list[str]
    trace_state: str
    scope: str
    resource: dict[str, Any]
    texts: list[str]

    def json(self, key: str) -> Any:
        return json.loads(self.attributes[key])


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _spans(body: bytes) -> Iterator[Received]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scoped in group.scope_spans:
            for span in scoped.spans:
                yield Received(
                    span.name,
                    _attributes(span.attributes),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.status.code,
                    span.status.message,
                    [event.name for event in span.events],
                    span.trace_state,
                    scoped.scope.name,
                    _attributes(group.resource.attributes),
                    [*_texts(span), *_texts(scoped.scope), *_texts(group.resource)],
                )


def _texts(message: Any) -> Iterator[str]:
    """Yield every text and every piece of bytes in a message."""
    for field, value in message.ListFields():
        for item in value if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value]:
            if field.message_type:
                yield from _texts(item)
            elif isinstance(item, (str, bytes)):
                yield item if isinstance(item, str) else item.decode(errors="replace")


class Collector:
    """An OTLP/HTTP receiver; with `answers` cleared it accepts requests and never answers them.

    Attributes:
        reply: status and protobuf body of every answer; spans of requests answered by an error do not count as received.
        largest: bytes of a request; a larger one is answered by 413.
    """

    def __init__(self) -> None:
        self.reply = (200, b"")
        self.largest = 1 << 30
        self._asked = threading.Event()
        self.received: list[Received] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answers = threading.Event()
        self.answers.set()
        self._changed = threading.Condition()
        self._server = _serve(self._post)
        self.endpoint = _url(self._server)

    def _post(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        self._asked.set()
        self.answers.wait()
        status, answer = self.reply if len(body) <= self.largest else (413, b"")
        with self._changed:
            self.paths.append(path)
            self.headers.append(headers)
            self.received.extend(_spans(body) if status == 200 else [])
            self._changed.notify_all()
        return status, "application/x-protobuf", answer

    def wait(self, count: int) -> list[Received]:
        """Wait until `count` spans are here, and return all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.received) >= count, DEADLINE), self.received
            return list(self.received)

    def wait_for_request(self) -> None:
        """Wait until a request is here, whether it is answered or not."""
        assert self._asked.wait(DEADLINE)

    def flushed(self) -> dict[str, Received]:
        """Flush this process and return what arrived by name."""
        assert qualitrace.flush(DEADLINE)
        return {span.name: span for span in self.received}

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()


def _serve(post: Callable[[str, dict[str, str], bytes], tuple[int, str, bytes]]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, content_type, answer = post(self.path, dict(self.headers), body)
            try:
                self.send_response(status)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                return  # the client did not wait

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return server


def _url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def _events(*events: dict[str, Any]) -> bytes:
    named = (
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events
    )
    return "".join(named).encode()


def _chat(path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
    """Answer as OpenAI's `/chat/completions` and Anthropic's `/v1/messages` do: with "Paris."."""
    asked = json.loads(body)
    answer = _openai if path.endswith("/chat/completions") else _anthropic
    stream, events = bool(asked.get("stream")), answer(asked)
    return (
        (200, "text/event-stream", events[1]) if stream else (200, "application/json", json.dumps(events[0]).encode())
    )


def _openai(asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    base = {"id": "chatcmpl-1", "created": 1, "model": asked["model"]}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    message = {"role": "assistant", "content": "Paris."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    chunk = {**base, "object": "chat.completion.chunk"}
    deltas = [
        {"index": 0, "delta": {"role": "assistant", "content": "Par"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "is."}, "finish_reason": "stop"},
    ]
    chunks = [{**chunk, "choices": [delta]} for delta in deltas]
    return whole, _events(*chunks, {**chunk, "choices": [], "usage": usage}) + b"data: [DONE]\n\n"


def _anthropic(asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    usage = {"input_tokens": 7, "output_tokens": 2}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "usage": usage}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    whole = {**message, **ended, "content": [{"type": "text", "text": "Paris."}]}
    return whole, _events(
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Paris."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": usage},
        {"type": "message_stop"},
    )


@pytest.fixture
def collector() -> Iterator[Collector]:
    """An OTLP receiver that remembers every span."""
    receiver = Collector()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def llm() -> Iterator[str]:
    """The base URL of a provider that answers "Paris." by both wire protocols."""
    server = _serve(_chat)
    yield _url(server)
    server.shutdown()
    server.server_close()


@pytest.fixture
def tracing(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """The tracer started in this process, exporting to the receiver that is returned."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "QUALITRACE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")  # and restore it
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    qualitrace.init(service_name="tests", endpoint=collector.endpoint, instrument=())
    yield collector
    qualitrace.shutdown()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    output: str
    errors: str
    seconds: float


class Programs:
    """Writes Python programs and runs them in processes of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, code: str, name: str = "program.py") -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return str(path)

    def start(self, *command: str, **variables: str) -> "subprocess.Popen[str]":
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "QUALITRACE_"))}
        return subprocess.Popen(
            command,
            env={**clean, **variables},
            cwd=self.directory,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, code: str, *arguments: str, **variables: str) -> Finished:
        """Run a program to its end."""
        return self.finish(self.start(sys.executable, self.write(code), *arguments, **variables))

    def finish(self, process: "subprocess.Popen[str]") -> Finished:
        started = time.monotonic()
        output, errors = process.communicate(timeout=60)
        return Finished(process.returncode, output, errors, time.monotonic() - started)


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """A folder to write and run programs in."""
    return Programs(tmp_path)
