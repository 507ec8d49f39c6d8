"""Real things for the collector's tests: OTLP requests, free ports, a running receiver."""

import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.settings import CollectorConfig
from support import receiving
from support.pipeline import Collector
from support.postgres import MlflowDatabases, running_postgres
from support.receiving import Receiver

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


@pytest.fixture
def receive_config(tmp_path: Path) -> Callable[..., CollectorConfig]:
    """Make a configuration with free ports and a data folder of the test's own."""
    return partial(receiving.receive_config, tmp_path)


@pytest.fixture
def start_receiver(receive_config: Callable[..., CollectorConfig]) -> Generator[Callable[..., Receiver]]:
    """Start a receiver with what `receive_config` takes; it is stopped after the test."""
    with ExitStack() as stack:
        yield lambda *args, **listen: stack.enter_context(receiving.receiving(receive_config(*args, **listen)))


@pytest.fixture
def receiver(start_receiver: Callable[..., Receiver]) -> Receiver:
    """A running receiver with room enough."""
    return start_receiver()


@pytest.fixture(scope="session")
def postgres() -> Generator[MlflowDatabases]:
    """Run a PostgreSQL server, on which each test makes databases of its own."""
    with running_postgres() as server:
        yield MlflowDatabases(server)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Collector]:
    """Make a collector; sections of the configuration are keywords."""

    def build(**raw: Any) -> Collector:
        return Collector(tmp_path, {"judges": ["relevance", "toxicity"], "sampling": {"rate": 1}} | raw)

    return build
