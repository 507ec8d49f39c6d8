"""Doors on loopback, and both of OTLP/HTTP's encodings, for the tests of the specification's sentences."""

import sqlite3
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support import otlp, plain_http
from support.otlp_json import to_otlp_json
from support.receiving import Receiver, receive_config, receiving


class Encoding:
    """One of the two encodings of OTLP/HTTP."""

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type

    def write(self, message: Message) -> bytes:
        """Serialise as a client does."""
        return message.SerializeToString() if "protobuf" in self.content_type else to_otlp_json(message)

    def read(self, response: httpx.Response, kind: Callable[[], Message]) -> Any:
        """Parse an answer, which must be in this encoding."""
        assert response.headers["content-type"] == self.content_type
        if "protobuf" in self.content_type:
            message = kind()
            message.MergeFromString(response.content)
            return message
        return json_format.Parse(response.content, kind())


@pytest.fixture(params=["application/x-protobuf", "application/json"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    """Run the test with each encoding."""
    return Encoding(request.param)


@pytest.fixture
def start_receiver(tmp_path: Path) -> Generator[Callable[..., Receiver]]:
    """Start a receiver with what `receive_config` takes; it is stopped after the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(receiving(receive_config(tmp_path, **settings)))


@pytest.fixture
def receiver(start_receiver: Callable[..., Receiver]) -> Receiver:
    """Start a receiver as it is by default."""
    return start_receiver()


@pytest.fixture
def post() -> Callable[..., httpx.Response]:
    """Send one request; `_` in the name of a header stands for `-`."""

    def send(
        receiver: Receiver,
        body: bytes | Iterable[bytes],
        content_type: str = "application/x-protobuf",
        path: str = "/v1/traces",
        **headers: str,
    ) -> httpx.Response:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://{receiver.http}{path}"
        return plain_http.post(url, content=body, headers={"content-type": content_type} | headers, timeout=60)

    return send


@pytest.fixture
def request_of_size() -> Callable[[int], ExportTraceServiceRequest]:
    """Make a valid request of exactly that many bytes (at least 1000), mostly spaces, which compress well."""

    def make(size: int) -> ExportTraceServiceRequest:
        length, most = size - 200, 8 << 20  # a span may not have as much as a request
        while True:
            texts = [most] * (length // most) + [length % most]
            request = otlp.request([otlp.span(number, 1, text=" " * text) for number, text in enumerate(texts, 1)])
            missing = size - request.ByteSize()
            if missing == 0:
                return request
            length += missing

    return make


@pytest.fixture
def locked_disk() -> Callable[[Receiver], AbstractContextManager[None]]:
    """Hold the journal's write lock, so that requests with content wait."""

    @contextmanager
    def lock(receiver: Receiver) -> Generator[None]:
        with closing(sqlite3.connect(receiver.journal.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    return lock
