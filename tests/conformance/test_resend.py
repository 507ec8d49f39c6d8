"""A client whose ack was lost sends again: MLflow has each span once."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from mlflow import MlflowClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from prometheus_client import CollectorRegistry

from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.pipeline.loop import Pipeline
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.state import Database, Ledger
from support.mlflow_db import new_database
from support.otlp import rag_trace, request, trace_id
from support.receiving import Receiver
from support.waiting import eventually

REQUEST = request(rag_trace(1, question="How long?", answer="24 months.", passages=["It lasts 24 months."]))


def lose_ack_over_http(receiver: Receiver, message: ExportTraceServiceRequest) -> None:
    """Send a request and go away before the answer is read."""
    body, (host, port) = message.SerializeToString(), receiver.http.split(":")
    head = f"POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        eventually(receiver.payloads)


def lose_ack_over_grpc(receiver: Receiver, message: ExportTraceServiceRequest) -> None:
    """Send a request and close the channel without having taken the answer."""
    with grpc.insecure_channel(receiver.grpc) as channel:
        call = TraceServiceStub(channel).Export.future(message, timeout=20)
        eventually(receiver.payloads)
        call.cancel()


def send_again(receiver: Receiver, message: ExportTraceServiceRequest) -> None:
    """Send the same request and take the ack."""
    with grpc.insecure_channel(receiver.grpc) as channel:
        TraceServiceStub(channel).Export(message, timeout=20)


class Work:
    """What reads the journal in the other process, on a real MLflow and with a clock of its own."""

    def __init__(self, receiver: Receiver, folder: Path) -> None:
        self.tracking_uri = new_database(folder)
        self.database = Database(folder / "state.db")
        self.now = time.time()  # the receiver stamps requests by it
        self.pipeline = Pipeline(
            receiver.config,
            receiver.journal,
            TraceStore(self.tracking_uri, (folder / "artifacts").as_uri(), "{service.name}"),
            Ledger(self.database),
            Recorder(receiver.config, self.database, TraceMetrics(CollectorRegistry())),
            clock=lambda: self.now,
        )

    def run(self, seconds: int) -> None:
        """Let time pass in steps of half a second."""
        for _ in range(seconds * 2):
            self.pipeline.step()
            self.now += 0.5


@pytest.mark.parametrize("lose_ack", [lose_ack_over_http, lose_ack_over_grpc])
@pytest.mark.parametrize("stored_between", [False, True])
def test_a_resend_after_a_lost_ack_stores_nothing_twice(
    receiver: Receiver,
    tmp_path: Path,
    lose_ack: Callable[[Receiver, ExportTraceServiceRequest], None],
    stored_between: bool,
) -> None:
    """One trace of three spans, counted once, whether the copy comes before or after the first was stored."""
    work = Work(receiver, tmp_path)
    lose_ack(receiver, REQUEST)
    if stored_between:
        work.run(10)
    send_again(receiver, REQUEST)
    assert len(receiver.payloads()) == (1 if stored_between else 2)
    work.run(10)
    client = MlflowClient(work.tracking_uri)
    (trace,) = client.search_traces([client.get_experiment_by_name("shop").experiment_id])
    assert trace.info.trace_id == "tr-" + trace_id(1).hex()
    assert sorted(span.name for span in trace.data.spans) == ["POST /ask", "chat gpt-4o-mini", "retrieve"]
    stored = [row["total"] for row in Ledger(work.database).totals() if row["outcome"] == "stored"]
    assert stored == [1]
    assert receiver.payloads() == []
