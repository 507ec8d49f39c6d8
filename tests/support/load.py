"""Load as applications make it: threads that send traces by HTTP and gRPC, and repeat each request until it is acked."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.otlp import attributes, rag_trace, request, span_id

RETRY_SECONDS = 0.1
SPANS = 3

Send = Callable[[ExportTraceServiceRequest], int]
"""Sends a request; gives the HTTP status, or what HTTP would have answered."""


class Load:
    """Sends until stopped: traces of one service, alone or several to a request, whole or in two requests.

    Args:
        http: address of the OTLP/HTTP door; `grpc_address` that of the other. Threads take turns with them.
        pause: seconds that a thread waits between two groups of traces.
        padding: characters added to each model call.

    Attributes:
        acked: MLflow's ids of the traces of which every span was acked, with the Unix time of the ack.
        sent: MLflow's ids of all traces, acked or not.
        answers: how often each status was answered; 0 is a lost connection.
        retry_after: the Retry-After headers of the 503 answers.
    """

    def __init__(
        self, http: str, grpc_address: str, *, seed: str, threads: int = 4, pause: float = 0.1, padding: int = 0
    ) -> None:
        self.acked: dict[str, float] = {}
        self.sent: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.retry_after: set[str | None] = set()
        self._pause = pause
        self._padding = attributes({"padding": "x" * padding}) if padding else []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._url = f"http://{http}/v1/traces"
        self._grpc_address = grpc_address
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed}/{number}"), number % 2 == 0), daemon=True)
            for number in range(threads)
        ]

    def start(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self, timeout: float = 60.0) -> None:
        """Let each thread get its last traces acked."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a request was not acked in time"

    def _run(self, rng: random.Random, over_http: bool) -> None:
        if over_http:
            with httpx.Client(timeout=10) as client:
                self._send_groups(rng, lambda message: self._post(client, message))
        else:
            with grpc.insecure_channel(self._grpc_address, [("grpc.max_reconnect_backoff_ms", 500)]) as channel:
                stub = TraceServiceStub(channel)
                self._send_groups(rng, lambda message: _export(stub, message))

    def _send_groups(self, rng: random.Random, send: Send) -> None:
        while not self._stop.wait(self._pause * rng.random()):
            traces = [self._trace(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
            ids = [f"tr-{spans[0].trace_id.hex()}" for spans in traces]
            with self._lock:
                self.sent.update(ids)
            if rng.random() < 0.5:
                self._send_until_acked(send, [span for spans in traces for span in spans])
            else:  # as exporters do: a root ends last
                self._send_until_acked(send, [span for spans in traces for span in spans[1:]])
                self._send_until_acked(send, [spans[0] for spans in traces])
            with self._lock:
                self.acked |= dict.fromkeys(ids, time.time())

    def _trace(self, rng: random.Random) -> list[Span]:
        number = rng.getrandbits(128)
        spans = rag_trace(
            number, question=f"How long is warranty {number}?", answer="24 months.", passages=["24 months."]
        )
        assert len(spans) == SPANS
        for span in spans:
            span.attributes.extend(self._padding if span.name.startswith("chat") else [])
            span.span_id = span_id(number % 2**60 + span.span_id[-1])
            span.parent_span_id = span_id(number % 2**60 + 1) if span.parent_span_id else b""
        return spans

    def _send_until_acked(self, send: Send, spans: list[Span]) -> None:
        message = request(spans)
        pause = threading.Event()
        while (status := send(message)) != httpx.codes.OK:
            with self._lock:
                self.answers[status] += 1
            pause.wait(RETRY_SECONDS)
        with self._lock:
            self.answers[status] += 1

    def _post(self, client: httpx.Client, message: ExportTraceServiceRequest) -> int:
        headers = {"content-type": "application/x-protobuf"}
        try:
            answer = client.post(self._url, content=message.SerializeToString(), headers=headers)
        except httpx.TransportError:
            return 0
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            with self._lock:
                self.retry_after.add(answer.headers.get("retry-after"))
        return answer.status_code


def _export(stub: TraceServiceStub, message: ExportTraceServiceRequest) -> int:
    try:
        stub.Export(message, timeout=10)
    except grpc.RpcError as error:
        full = "journal is full" in str(error.details())
        return httpx.codes.SERVICE_UNAVAILABLE if full else 0
    return httpx.codes.OK
