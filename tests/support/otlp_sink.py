"""A collector that takes OTLP over HTTP, and may send the spans on."""

import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.listening import listening


@dataclass
class OtlpSink:
    """What it took, and what became of it.

    Attributes:
        url: its address, without a path.
        status: what it answers.
        forward_to: the address that requests of spans are sent on to.
        headers: of the last request.
        answers: what that address said.
    """

    url: str = ""
    status: int = 200
    forward_to: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    traces: list[ExportTraceServiceRequest] = field(default_factory=list[ExportTraceServiceRequest])
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list[ExportMetricsServiceRequest])
    answers: list[bytes] = field(default_factory=list[bytes])
    _go: threading.Event = field(default_factory=threading.Event)
    _came: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._go.set()

    @property
    def spans(self) -> list[Span]:
        """Every span, in the order in which they came."""
        groups = [group for request in self.traces for group in request.resource_spans]
        return [span for group in groups for scope in group.scope_spans for span in scope.spans]

    @property
    def last_metrics(self) -> dict[str, Metric]:
        """The metrics of the last export, by their names."""
        groups = self.metrics[-1].resource_metrics if self.metrics else ()
        return {metric.name: metric for group in groups for scope in group.scope_metrics for metric in scope.metrics}

    @contextmanager
    def hanging(self) -> Generator[threading.Event]:
        """Answer nothing in the block; gives what is set when a request has come."""
        self._go.clear()
        self._came.clear()
        try:
            yield self._came
        finally:
            self._go.set()

    def wait(self) -> None:
        """Wait while it hangs."""
        self._came.set()
        self._go.wait()

    def take(self, path: str, body: bytes) -> None:
        """Keep a request, and send it on."""
        if path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
            return
        self.traces.append(ExportTraceServiceRequest.FromString(body))
        if self.forward_to:
            headers = {"Content-Type": "application/x-protobuf"}
            with suppress(httpx.TransportError):
                self.answers.append(httpx.post(f"{self.forward_to}{path}", content=body, headers=headers).content)


@contextmanager
def otlp_sink() -> Generator[OtlpSink]:
    """Serve one."""
    sink = OtlpSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.headers = {name.lower(): value for name, value in self.headers.items()}
            sink.wait()
            if sink.status == 200:
                sink.take(self.path, body)
            self.send_response(sink.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    with listening(Handler) as url:
        sink.url = url
        yield sink
