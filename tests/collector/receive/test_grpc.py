"""The gRPC door, by real clients over loopback."""

from collections.abc import Callable, Generator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

MakeRequest = Callable[..., ExportTraceServiceRequest]
OPTIONS = [("grpc.max_send_message_length", -1)]


@pytest.fixture
def connect() -> Generator[Callable[[Any], grpc.Channel]]:
    """Open a channel to a receiver; it is closed after the test."""
    channels: list[grpc.Channel] = []

    def open_channel(receiver: Any) -> grpc.Channel:
        channels.append(grpc.insecure_channel(receiver.grpc, options=OPTIONS))
        return channels[-1]

    yield open_channel
    for channel in channels:
        channel.close()


def refusal(call: Callable[[], object]) -> Any:
    """Return the error that the call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_traces_are_journalled_as_they_came(
    receiver: Any, connect: Callable[..., Any], make_request: MakeRequest, compression: Any
) -> None:
    """A valid request, larger than grpc's own limit of 4 MiB, is acked and counted under its door."""
    request = make_request(spans=2, size=3 << 20)
    response = TraceServiceStub(connect(receiver)).Export(request, timeout=20, compression=compression)
    assert response == ExportTraceServiceResponse()
    (entry,) = receiver.journal.read(0, 10, 1 << 30)
    assert (entry.signal, entry.payload) == ("traces", request.SerializeToString())
    assert receiver.journal.counters()["spans_received", "grpc"] == 2


def test_a_span_without_an_end_is_kept(receiver: Any, connect: Callable[..., Any], make_request: MakeRequest) -> None:
    """It ends when it starts; the answer is a plain success, the metric counts it."""
    request = make_request(spans=2)
    odd = request.resource_spans[0].scope_spans[0].spans[0]
    odd.end_time_unix_nano = 0
    assert TraceServiceStub(connect(receiver)).Export(request, timeout=20) == ExportTraceServiceResponse()
    (entry,) = receiver.journal.read(0, 10, 1 << 30)
    odd.end_time_unix_nano = odd.start_time_unix_nano
    assert ExportTraceServiceRequest.FromString(entry.payload) == request
    assert receiver.journal.counters()["spans_adjusted", "end_before_start"] == 1


def test_logs_without_a_trace_are_rejected(receiver: Any, connect: Callable[..., Any]) -> None:
    """The answer has the number of log records that belong to no trace; the other one is kept."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=b"t" * 16, span_id=b"s" * 8, event_name="gen_ai.choice").body.string_value = "kept"
    records.add().body.string_value = "rejected"
    response = LogsServiceStub(connect(receiver)).Export(request, timeout=20)
    assert response.partial_success.rejected_log_records == 1
    assert "trace_id must be 16 bytes" in response.partial_success.error_message
    (entry,) = receiver.journal.read(0, 10, 1 << 30)
    del records[1]
    assert (entry.signal, ExportLogsServiceRequest.FromString(entry.payload)) == ("logs", request)


def test_a_full_journal_is_unavailable_with_a_retry_delay(
    start_receiver: Callable[..., Any], connect: Callable[..., Any], make_request: MakeRequest
) -> None:
    """The refusal carries RetryInfo of one second in its status details, and passes once there is room."""
    receiver = start_receiver(max_size=3000)
    stub, request = TraceServiceStub(connect(receiver)), make_request(size=2000)
    stub.Export(request, timeout=20)
    error = refusal(lambda: stub.Export(request, timeout=20))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    metadata = dict(error.trailing_metadata())
    status = Status.FromString(metadata["grpc-status-details-bin"])
    retry = RetryInfo()
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.seconds == 1
    assert RetryInfo.FromString(metadata["google.rpc.retryinfo-bin"]) == retry
    receiver.journal.delete_done([1])
    stub.Export(request, timeout=20)
    assert receiver.journal.pending()[0] == 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_too_large_is_refused_for_good(
    start_receiver: Callable[..., Any], connect: Callable[..., Any], make_request: MakeRequest, compression: Any
) -> None:
    """More than max_request_size, as sent or decompressed, is RESOURCE_EXHAUSTED without RetryInfo: no retry."""
    receiver = start_receiver(max_request_size="10kB")
    request = make_request(size=10_000)
    stub = TraceServiceStub(connect(receiver))
    error = refusal(lambda: stub.Export(request, timeout=60, compression=compression))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata())
    assert receiver.journal.pending() == (0, 0)


def test_a_message_that_does_not_parse_is_an_invalid_argument(
    receiver: Any, connect: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    """Bytes that are not a request are the client's mistake, not an internal error: counted, no retry."""
    call = connect(receiver).unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
    error = refusal(lambda: call(b"\xff\xff\xff", timeout=20))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "ExportTraceServiceRequest" in error.details()
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())
    eventually(lambda: receiver.journal.counters().get(("requests_refused", "undecodable")) == 1)
    assert receiver.journal.pending() == (0, 0)


def test_metrics_are_unimplemented(receiver: Any, connect: Callable[..., Any]) -> None:
    """A client that sends metrics learns that this server has no such service."""
    stub = MetricsServiceStub(connect(receiver))
    error = refusal(lambda: stub.Export(ExportMetricsServiceRequest(), timeout=20))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
