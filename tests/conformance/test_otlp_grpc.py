"""OTLP/gRPC, sentence by sentence: what a server must and should do (README.md has the table)."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from support.otlp import request, span
from support.receiving import Receiver

MIB = 1 << 20
GOOD = request([span(1, 1), span(1, 2, 1)])
NONE, GZIP = grpc.Compression.NoCompression, grpc.Compression.Gzip
TRACES_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# gRPC's codes after which OTLP clients send again (the specification's table); RESOURCE_EXHAUSTED with RetryInfo only.
RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
SizedRequest = Callable[[int], ExportTraceServiceRequest]


@pytest.fixture
def connect() -> Generator[Callable[[Receiver], grpc.Channel]]:
    """Open a channel without limits of the client's; it is closed after the test."""
    channels: list[grpc.Channel] = []

    def open_channel(receiver: Receiver) -> grpc.Channel:
        channels.append(grpc.insecure_channel(receiver.grpc, options=[("grpc.max_send_message_length", -1)]))
        return channels[-1]

    yield open_channel
    for channel in channels:
        channel.close()


@pytest.fixture
def stub(receiver: Receiver, connect: Callable[[Receiver], grpc.Channel]) -> TraceServiceStub:
    """Call the trace service of the default receiver."""
    return TraceServiceStub(connect(receiver))


def failure(call: Callable[[], object]) -> Any:
    """Return the error that the call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def details(error: Any) -> Status | None:
    """Return the status that travels in the trailing metadata, if there is one."""
    packed = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    return None if packed is None else Status.FromString(packed)


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_grpc_none_and_gzip_compression(receiver: Receiver, stub: TraceServiceStub, compression: Any) -> None:
    """Plain and gzip messages arrive the same."""
    assert stub.Export(GOOD, timeout=20, compression=compression) == ExportTraceServiceResponse()
    assert [ExportTraceServiceRequest.FromString(payload) for payload in receiver.payloads()] == [GOOD]


@pytest.mark.slow
def test_grpc_the_default_message_limit_is_64_mib(
    receiver: Receiver, stub: TraceServiceStub, request_of_size: SizedRequest
) -> None:
    """A message of 64 MiB is taken, one more byte is not."""
    stub.Export(request_of_size(64 * MIB), timeout=60)
    error = failure(lambda: stub.Export(request_of_size(64 * MIB + 1), timeout=60))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(receiver.payloads()) == 1


@pytest.mark.parametrize("compression", [NONE, GZIP])
def test_grpc_the_message_limit_can_be_configured_and_is_final(
    start_receiver: Callable[..., Receiver],
    connect: Callable[[Receiver], grpc.Channel],
    request_of_size: SizedRequest,
    compression: Any,
) -> None:
    """Beyond `listen.max_request_size` it is RESOURCE_EXHAUSTED without RetryInfo, which clients do not retry."""
    receiver = start_receiver(max_request_size="10kB")
    stub = TraceServiceStub(connect(receiver))
    error = failure(lambda: stub.Export(request_of_size(10_001), timeout=20, compression=compression))
    assert (error.code(), details(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    assert "google.rpc.retryinfo-bin" not in dict(error.trailing_metadata())
    assert receiver.payloads() == []
    stub.Export(request_of_size(10_000), timeout=20, compression=compression)


def test_grpc_concurrent_calls_do_not_wait_for_each_other(
    receiver: Receiver, stub: TraceServiceStub, locked_disk: Callable[[Receiver], AbstractContextManager[None]]
) -> None:
    """While twenty calls wait for the disk another one on the same connection is answered; then all are."""
    with locked_disk(receiver):
        waiting = [stub.Export.future(GOOD, timeout=20) for _ in range(20)]
        stub.Export(ExportTraceServiceRequest(), timeout=20)
        assert not any(call.done() for call in waiting)
    assert [call.result() for call in waiting] == [ExportTraceServiceResponse()] * 20
    assert len(receiver.payloads()) == 20


def test_grpc_answers_are_the_message_of_the_signal(
    receiver: Receiver, stub: TraceServiceStub, connect: Callable[[Receiver], grpc.Channel]
) -> None:
    """Traces and logs each have their response message, with partial_success unset on success."""
    traces = stub.Export(GOOD, timeout=20)
    assert isinstance(traces, ExportTraceServiceResponse)
    assert not traces.HasField("partial_success")
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=b"t" * 16, span_id=b"s" * 8, event_name="gen_ai.choice")
    answer = LogsServiceStub(connect(receiver)).Export(logs, timeout=20)
    assert isinstance(answer, ExportLogsServiceResponse)
    assert not answer.HasField("partial_success")


def test_grpc_an_empty_request_is_a_success(receiver: Receiver, stub: TraceServiceStub) -> None:
    """No telemetry at all, or an envelope without contents, is a full success."""
    envelope = ExportTraceServiceRequest()
    envelope.resource_spans.add().scope_spans.add()
    for empty in (ExportTraceServiceRequest(), envelope):
        assert stub.Export(empty, timeout=20) == ExportTraceServiceResponse()
    assert receiver.payloads() == []


def test_grpc_partial_success_counts_the_rejected_spans_and_says_why(
    receiver: Receiver, stub: TraceServiceStub
) -> None:
    """The call succeeds with the exact number and the broken rule; the other span is kept."""
    message = request([span(1, 1), span(1, 2), span(1, 3)])
    spans = message.resource_spans[0].scope_spans[0].spans
    spans[0].span_id = spans[2].span_id = bytes(8)
    partial = stub.Export(message, timeout=20).partial_success
    assert partial.rejected_spans == 2
    assert "2 rejected: span_id must be 8 bytes, not all zero" in partial.error_message
    (payload,) = receiver.payloads()
    assert list(ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans) == [span(1, 2)]


def test_grpc_bad_data_is_an_invalid_argument_with_a_bad_request(
    receiver: Receiver, connect: Callable[[Receiver], grpc.Channel]
) -> None:
    """Bytes that are not a request are the client's fault for good, and the details describe it."""
    error = failure(lambda: connect(receiver).unary_unary(TRACES_EXPORT)(b"\xff\xff", timeout=20))
    status, detail = details(error), BadRequest()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.code().name not in RETRYABLE
    assert status is not None
    assert status.details[0].Unpack(detail)
    assert detail.field_violations[0].description == status.message == error.details()


def test_grpc_overload_is_unavailable_with_retry_info(
    start_receiver: Callable[..., Receiver],
    connect: Callable[[Receiver], grpc.Channel],
    request_of_size: SizedRequest,
) -> None:
    """A full journal asks for the same request again in a second or two, and takes it once there is room."""
    receiver = start_receiver(max_size=1500)
    stub, fine = TraceServiceStub(connect(receiver)), request_of_size(1000)
    stub.Export(fine, timeout=20)
    error = failure(lambda: stub.Export(fine, timeout=20))
    status, retry = details(error), RetryInfo()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert status is not None
    assert status.details[0].Unpack(retry)
    assert 1 <= retry.retry_delay.seconds <= 2
    receiver.journal.delete_done([1])
    stub.Export(fine, timeout=20)


def test_grpc_answers_are_far_below_4_mib(receiver: Receiver, stub: TraceServiceStub) -> None:
    """A hundred thousand bad spans make an answer of less than a kilobyte."""
    bad = span(1, 1)
    bad.trace_id = b""
    answer = stub.Export(request([bad] * 100_000), timeout=60)
    assert answer.partial_success.rejected_spans == 100_000
    assert answer.ByteSize() < 1024


def test_grpc_metrics_are_unimplemented(receiver: Receiver, connect: Callable[[Receiver], grpc.Channel]) -> None:
    """A service that does not exist gets gRPC's code for it, which clients do not retry."""
    error = failure(lambda: MetricsServiceStub(connect(receiver)).Export(ExportMetricsServiceRequest(), timeout=20))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error.code().name not in RETRYABLE


def test_grpc_unknown_fields_are_kept_and_harmless(
    receiver: Receiver, connect: Callable[[Receiver], grpc.Channel]
) -> None:
    """Fields of later versions of OTLP do not disturb, and are journalled as they came."""
    later = GOOD.SerializeToString() + b"\xa2\x06\x03new"
    assert connect(receiver).unary_unary(TRACES_EXPORT)(later, timeout=20) == b""
    assert receiver.payloads() == [later]
