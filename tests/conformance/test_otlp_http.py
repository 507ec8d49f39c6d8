"""OTLP/HTTP, sentence by sentence: what a server must and should do (README.md has the table)."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from qualitrace_collector.journal import GroupCommitter
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.http import http_app
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.settings import CollectorConfig
from support.otlp import request, span
from support.receiving import Receiver

Post = Callable[..., httpx.Response]
MIB = 1 << 20
PROTOBUF, JSON = "application/x-protobuf", "application/json"
GOOD = request([span(1, 1), span(1, 2, 1)])


def bad_spans() -> ExportTraceServiceRequest:
    """Make a request of four spans, of which two have no valid id."""
    message = request([span(1, number) for number in range(1, 5)])
    spans = message.resource_spans[0].scope_spans[0].spans
    spans[1].trace_id, spans[3].span_id = bytes(16), b"short"
    return message


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("chunked", [False, True])
def test_http_none_and_gzip_compression(
    receiver: Receiver, post: Post, encoding: Any, compression: str, chunked: bool
) -> None:
    """Plain and gzip bodies arrive the same, with a length or in chunks."""
    body, headers = encoding.write(GOOD), {}
    if compression == "gzip":
        body, headers = gzip.compress(body), {"Content_Encoding": "gzip"}
    answer = post(receiver, iter([body[:9], body[9:]]) if chunked else body, encoding.content_type, **headers)
    assert answer.status_code == 200
    assert [ExportTraceServiceRequest.FromString(payload) for payload in receiver.payloads()] == [GOOD]


def test_http_protobuf_and_json_on_one_port(receiver: Receiver, post: Post) -> None:
    """The content type alone decides how a body is read."""
    as_protobuf = GOOD.SerializeToString()
    assert post(receiver, as_protobuf, PROTOBUF).status_code == 200
    assert post(receiver, b'{"resourceSpans": []}', JSON).status_code == 200
    assert post(receiver, as_protobuf, JSON).status_code == 400
    assert post(receiver, b'{"resourceSpans": []}', PROTOBUF).status_code == 400


def test_http_default_ports_and_paths(receiver: Receiver, post: Post, encoding: Any) -> None:
    """The doors' defaults are 4318 and 4317; traces and logs have their standard paths, each with its own message."""
    assert CollectorConfig().listen.otlp_http.endswith(":4318")
    assert CollectorConfig().listen.otlp_grpc.endswith(":4317")
    logs = ExportLogsServiceRequest()
    records = logs.resource_logs.add().scope_logs.add().log_records
    records.add(trace_id=b"t" * 16, span_id=b"s" * 8, event_name="gen_ai.choice")
    for path, message, response in [
        ("/v1/traces", GOOD, ExportTraceServiceResponse),
        ("/v1/logs", logs, ExportLogsServiceResponse),
    ]:
        answer = post(receiver, encoding.write(message), encoding.content_type, path)
        assert (answer.status_code, encoding.read(answer, response)) == (200, response())
    assert [entry.signal for entry in receiver.journal.read(0, 10, MIB)] == ["traces", "logs"]


def test_http_answers_in_the_content_type_of_the_request(receiver: Receiver, post: Post, encoding: Any) -> None:
    """Successes and failures alike say and use the request's encoding, parameters of the type or not."""
    for content_type in (encoding.content_type, encoding.content_type.upper() + "; charset=utf-8"):
        success = post(receiver, encoding.write(GOOD), content_type)
        assert (success.status_code, encoding.read(success, ExportTraceServiceResponse).ByteSize()) == (200, 0)
        failure = post(receiver, b"\xff{", content_type)
        assert (failure.status_code, encoding.read(failure, Status).code) == (400, code_pb2.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    "empty",
    [
        ExportTraceServiceRequest(),
        ExportTraceServiceRequest(resource_spans=[ResourceSpans()]),
        ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans()])]),
    ],
    ids=["nothing", "an empty resource", "an empty scope"],
)
def test_http_an_empty_request_is_a_success(
    receiver: Receiver, post: Post, encoding: Any, empty: ExportTraceServiceRequest
) -> None:
    """No telemetry at all, or an envelope without contents, is a full success and leaves nothing behind."""
    answer = post(receiver, encoding.write(empty), encoding.content_type)
    assert answer.status_code == 200
    assert encoding.read(answer, ExportTraceServiceResponse) == ExportTraceServiceResponse()
    assert receiver.payloads() == []


def test_http_success_leaves_partial_success_unset(receiver: Receiver, post: Post, encoding: Any) -> None:
    """The answer to a good request has no such field, not even an empty one."""
    answer = post(receiver, encoding.write(GOOD), encoding.content_type)
    assert answer.status_code == 200
    assert not encoding.read(answer, ExportTraceServiceResponse).HasField("partial_success")
    assert b"partialSuccess" not in answer.content


def test_http_partial_success_counts_the_rejected_spans(receiver: Receiver, post: Post, encoding: Any) -> None:
    """It is a 200 with the exact number, and the others are kept."""
    answer = post(receiver, encoding.write(bad_spans()), encoding.content_type)
    assert answer.status_code == 200
    assert encoding.read(answer, ExportTraceServiceResponse).partial_success.rejected_spans == 2
    (payload,) = receiver.payloads()
    kept = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans
    assert list(kept) == [span(1, 1), span(1, 3)]


def test_http_partial_success_says_why(receiver: Receiver, post: Post, encoding: Any) -> None:
    """The message names each rule that was broken and where the first breach stood."""
    answer = post(receiver, encoding.write(bad_spans()), encoding.content_type)
    message = encoding.read(answer, ExportTraceServiceResponse).partial_success.error_message
    assert "trace_id must be 16 bytes, not all zero (first: resource_spans[0].scope_spans[0].spans[1])" in message
    assert "span_id must be 8 bytes, not all zero (first: resource_spans[0].scope_spans[0].spans[3])" in message


FAULTS = {
    "damaged body": (400, code_pb2.INVALID_ARGUMENT, {}),
    "damaged gzip": (400, code_pb2.INVALID_ARGUMENT, {"Content_Encoding": "gzip"}),
    "unknown encoding": (415, code_pb2.INVALID_ARGUMENT, {"Content_Encoding": "br"}),
    "slash at the end": (404, code_pb2.UNIMPLEMENTED, {"path": "/v1/traces/"}),
    "unknown path": (404, code_pb2.UNIMPLEMENTED, {"path": "/v1/profiles"}),
    "metrics": (404, code_pb2.UNIMPLEMENTED, {"path": "/v1/metrics"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_http_failures_carry_a_status_in_the_encoding_of_the_request(
    receiver: Receiver, post: Post, encoding: Any, fault: str
) -> None:
    """Every 4xx has a google.rpc.Status for its body, with a code and a message for developers."""
    http_status, rpc_code, options = FAULTS[fault]
    answer = post(receiver, b"\xff{", encoding.content_type, **options)
    status = encoding.read(answer, Status)
    assert (answer.status_code, status.code, len(status.message) > 10) == (http_status, rpc_code, True)


def test_http_an_internal_fault_carries_a_status(receiver: Receiver, encoding: Any) -> None:
    """A 500, which needs a fault of our own (here a broken clock), has a Status too and is not to be retried."""

    async def send() -> httpx.Response:
        committer = GroupCommitter(receiver.journal)
        app = http_app(Intake(committer, lambda: 1 / 0), DoorGuard.of(receiver.config))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            headers = {"content-type": encoding.content_type}
            answer = await client.post("/v1/traces", content=encoding.write(GOOD), headers=headers)
        await asyncio.to_thread(committer.stop)
        return answer

    answer = asyncio.run(send())
    assert (answer.status_code, encoding.read(answer, Status).code) == (500, code_pb2.INTERNAL)


@pytest.mark.parametrize("body", [b"\xff\xff", b'{"resourceSpans": [{', b'{"resourceSpans": 1}', b"\x0a\x7f"])
def test_http_bad_data_is_400_with_a_bad_request(receiver: Receiver, post: Post, encoding: Any, body: bytes) -> None:
    """What cannot be decoded is the client's fault for good, and the details describe it."""
    answer = post(receiver, body, encoding.content_type)
    status, detail = encoding.read(answer, Status), BadRequest()
    assert answer.status_code == 400
    assert status.details[0].Unpack(detail)
    assert detail.field_violations[0].description == status.message
    assert "ExportTraceServiceRequest" in status.message
    assert receiver.payloads() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_http_other_methods_are_405_with_allow(receiver: Receiver, method: str) -> None:
    """HTTP's own rule for paths that are there for POST alone."""
    answer = httpx.request(method, f"http://{receiver.http}/v1/traces")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/protobuf", "application/jsonp"])
def test_http_other_content_types_are_415(receiver: Receiver, post: Post, content_type: str) -> None:
    """A body that is neither encoding is refused with the list of those that are."""
    answer = post(receiver, b"{}", content_type)
    assert answer.status_code == 415
    assert "application/x-protobuf or application/json" in answer.json()["message"]


def test_http_keeps_the_connection_alive(receiver: Receiver) -> None:
    """Successes and failures of one client share one connection, as clients should keep it."""
    with httpx.Client(base_url=f"http://{receiver.http}") as client:
        ports = set()
        for body, expected in [(GOOD.SerializeToString(), 200), (b"\xff", 400), (b"", 200)]:
            answer = client.post("/v1/traces", content=body, headers={"content-type": PROTOBUF})
            assert answer.status_code == expected
            ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ports) == 1
