"""Real things for the collector's tests: OTLP requests, free ports, a running receiver."""

import asyncio
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.config import Config
from qualitrace_collector.config.load import parse_config
from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.receive import serve

DEADLINE_SECONDS = 20.0


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a condition holds and return its value; fail at the deadline."""

    def wait(condition: Callable[[], Any]) -> Any:
        pause = threading.Event()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, "the condition did not come true in time"
            pause.wait(0.01)
        return value

    return wait


@pytest.fixture
def make_request() -> Callable[..., ExportTraceServiceRequest]:
    """Make a request with `spans` valid spans, each with a long attribute of `size` characters."""

    def make(spans: int = 1, size: int = 0) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for index in range(spans):
            span = scope.spans.add(trace_id=secrets.token_bytes(16), span_id=secrets.token_bytes(8))
            span.name = f"span {index}"
            span.start_time_unix_nano, span.end_time_unix_nano = 1_000, 2_000
            if size:
                span.attributes.add(key="text").value.string_value = "x" * size
        return request

    return make


def _free_port() -> int:
    """Pick a port below those the system gives to clients, lest one of them takes it before the server."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture
def receive_config(tmp_path: Path) -> Callable[..., Config]:
    """Make a configuration with free ports and a data folder of the test's own."""

    def make(max_size: int = 1 << 30) -> Config:
        return parse_config(
            {
                "listen": {
                    "otlp_http": f"127.0.0.1:{_free_port()}",
                    "otlp_grpc": f"127.0.0.1:{_free_port()}",
                },
                "data_dir": str(tmp_path / "data"),
                "journal": {"max_size": max_size},
            }
        )

    return make


@dataclass(frozen=True)
class Receiver:
    """A receiver that runs in a thread, and its journal as the other process sees it."""

    config: Config
    journal: SqliteJournal
    stop: Callable[[], None]

    @property
    def http(self) -> str:
        return self.config.listen.otlp_http

    @property
    def grpc(self) -> str:
        return self.config.listen.otlp_grpc


@pytest.fixture
def start_receiver(receive_config: Callable[..., Config]) -> Generator[Callable[..., Receiver]]:
    """Start a receiver with the given `max_size`; it is stopped after the test."""
    stops: list[Callable[[], None]] = []

    def start(max_size: int = 1 << 30) -> Receiver:
        config = receive_config(max_size)
        ready = threading.Event()
        handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

        async def run() -> None:
            stop = asyncio.Event()
            handles.append((asyncio.get_running_loop(), stop))
            await serve(config, stop, ready.set)

        thread = threading.Thread(target=lambda: asyncio.run(run()))
        thread.start()
        assert ready.wait(DEADLINE_SECONDS)
        journal = SqliteJournal(config.data_dir / "journal.db", max_size)

        def stop() -> None:
            loop, event = handles[0]
            if thread.is_alive():
                loop.call_soon_threadsafe(event.set)
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()

        stops.extend([journal.close, stop])
        return Receiver(config, journal, stop)

    yield start
    for stop in reversed(stops):
        stop()


@pytest.fixture
def receiver(start_receiver: Callable[..., Receiver]) -> Receiver:
    """A running receiver with room enough."""
    return start_receiver()
