"""How long a trace takes from qualitrace's ack until it is in MLflow's tables, and how many a second get there."""

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from intake.traces import Template
from support.serving import Server
from support.waiting import eventually

START_SECONDS = 600.0
STORE_SECONDS = 1800.0
POLL_SECONDS = 0.1
PER_SECOND = 5
BURST_REQUEST = 100
"""Traces in a request of the burst."""


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """Seconds from ack to stored at a few traces a second, and traces a second that are stored of a burst."""

    p50: float
    p95: float
    stored_per_second: float


def measure_ingest(uri: str, folder: Path, seconds: float, burst: int) -> Ingest:
    """Run `qualitrace serve` over a database; send single traces for that many seconds, and then a burst of `burst`."""
    server = Server(folder, mlflow={"tracking_uri": uri}, sampling={"rate": 0.1})
    server.launch()
    try:
        eventually(lambda: server.lines, START_SECONDS)
        delays = _delays(server, uri, seconds)
        rate = _burst(server, burst)
    finally:
        server.crash()  # on a busy machine it may not end in time
    cuts = statistics.quantiles(delays, n=20)
    return Ingest(p50=cuts[9], p95=cuts[18], stored_per_second=rate)


def _delays(server: Server, uri: str, seconds: float) -> list[float]:
    template, acked, delays = Template(0, 1), dict[str, float](), list[float]()

    def look(cursor: psycopg.Cursor[Any]) -> None:
        waiting = list(acked)
        cursor.execute("SELECT request_id FROM trace_info WHERE request_id = ANY(%s)", (waiting,))
        now = time.monotonic()
        delays.extend(now - acked.pop(trace_id) for (trace_id,) in cursor.fetchall())

    with psycopg.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        ends, next_send, pause = time.monotonic() + seconds, time.monotonic(), threading.Event()
        while acked or time.monotonic() < ends:
            if next_send <= time.monotonic() < ends:
                next_send += 1 / PER_SECOND
                trace_id = _send(server, template.fresh)
                acked[trace_id] = time.monotonic()
            look(cursor)
            pause.wait(POLL_SECONDS)
    return delays


def _send(server: Server, make: Callable[[], bytes]) -> str:
    body = make()
    answer = server.send(body)
    answer.raise_for_status()
    span = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0]
    return f"tr-{span.trace_id.hex()}"


def _burst(server: Server, traces: int) -> float:
    template, before = Template(0, BURST_REQUEST), _stored(server)
    started = time.monotonic()
    for _ in range(0, traces, BURST_REQUEST):
        _send(server, template.fresh)
    eventually(lambda: _stored(server) >= before + traces, STORE_SECONDS, interval=0.5)
    return traces / (time.monotonic() - started)


def _stored(server: Server) -> float:
    return server.sample("qualitrace_traces_total", outcome="stored")
