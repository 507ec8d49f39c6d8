"""The benchmark's load and its judgement of a cell: a wrong count there would flatter every figure."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from intake.load import run_load
from intake.measure import Cell, Shape
from intake.traces import DISTINCT_TRACES, templates

Answer = Callable[[int, bytes], int | None]
"""From the number of a request and its body to the status; None closes the connection unanswered."""


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Answer requests on loopback; gives the address."""
    lock, seen = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                seen[0] += 1
                number = seen[0]
            status = answer(number, body)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()
        thread.join()


def bodies(count: int) -> Callable[[], bytes | None]:
    items = iter([b"body"] * count)
    return lambda: next(items, None)


def spans_of(body: bytes) -> list[tuple[bytes, bytes, bytes]]:
    request = ExportTraceServiceRequest.FromString(body)
    spans = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
    return [(span.trace_id, span.span_id, span.parent_span_id) for span in spans]


@pytest.mark.parametrize("traces", [1, 20, 100])
def test_every_copy_of_a_request_has_whole_traces_with_ids_of_their_own(traces: int) -> None:
    """Two copies of a template share no trace id, and each trace has five spans that hang together."""
    template = templates(traces)[0]
    copies = [spans_of(template.fresh()) for _ in range(2)]
    ids = {trace_id for copy in copies for trace_id, _, _ in copy}
    assert len(ids) == 2 * traces
    for trace_id in ids:
        spans = [span for copy in copies for span in copy if span[0] == trace_id]
        parents = {span_id: parent for _, span_id, parent in spans}
        assert len(parents) == 5
        assert sorted(parent in parents for parent in parents.values()) == [False, True, True, True, True]


def test_traces_are_of_the_size_that_is_told_and_differ() -> None:
    """Each distinct trace is about 6 KB, and no two of them have the same text."""
    sizes = [len(template.fresh()) for template in templates(1)]
    assert len(sizes) == DISTINCT_TRACES
    assert all(5_000 < size < 7_500 for size in sizes)
    texts = {template.fresh().partition(b"gen_ai.input.messages")[2][:400] for template in templates(1)}
    assert len(texts) > DISTINCT_TRACES / 2


def test_only_requests_answered_200_count() -> None:
    """Every other answer is a failure by its status, and has no latency."""
    with server(lambda number, _: 503 if number % 4 == 0 else 200) as address:
        result = run_load(address, bodies(40), connections=4, seconds=30)
    assert len(result.latencies) == 30
    assert result.failures == {"503": 10}


def test_a_lost_connection_is_a_failure() -> None:
    """A request whose connection ends without an answer is counted, and the other connections go on."""
    with server(lambda number, _: None if number == 1 else 200) as address:
        result = run_load(address, bodies(10), connections=2, seconds=30)
    assert result.failures == {"connection lost": 1}
    assert len(result.latencies) == 9


def test_load_uses_all_its_connections_and_waits_for_their_answers() -> None:
    """With answers held back until every connection has sent, all requests arrive and all are timed."""
    together = threading.Barrier(8, timeout=30)

    def answer(_number: int, _body: bytes) -> int:
        together.wait()
        return 200

    with server(answer) as address:
        result = run_load(address, bodies(16), connections=8, seconds=30)
    assert len(result.latencies) == 16
    assert max(result.latencies) <= result.seconds


def test_a_cell_with_a_failure_or_a_missing_trace_is_invalid() -> None:
    """Figures count only if every request was acked and every acked trace was stored."""
    cell = Cell(
        target="serve",
        shape=Shape(traces=1, connections=1),
        requests=10,
        acked=10,
        acked_per_second=5.0,
        p50_ms=1.0,
        p99_ms=2.0,
        stored_per_second=4.0,
        missing=0,
        cpu_per_1000=1.0,
        rss_mib=100.0,
        generator_share=0.1,
        failures={},
    )
    assert cell.valid
    assert not replace(cell, failures={"503": 1}).valid
    assert not replace(cell, missing=1).valid
    assert not replace(cell, acked=0).valid
