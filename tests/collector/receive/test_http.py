"""The HTTP door, by real clients over loopback: what is answered, what is journalled, what is counted."""

import gzip
import http.client
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
Eventually = Callable[[Callable[[], Any]], Any]
MakeRequest = Callable[..., ExportTraceServiceRequest]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def send(
    receiver: Any,
    body: bytes | Iterable[bytes],
    content_type: str = PROTOBUF,
    path: str = "/v1/traces",
    method: str = "POST",
    **headers: str,
) -> Answer:
    """Send one request; an iterable body goes out chunked, without a length."""
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": content_type, **headers})
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read())
    connection.close()
    return answer


def journalled(receiver: Any) -> list[bytes]:
    """Return the payloads in the journal."""
    return [entry.payload for entry in receiver.journal.read(0, 100, 1 << 30)]


def test_a_valid_protobuf_request_is_journalled_as_it_came(receiver: Any, make_request: MakeRequest) -> None:
    """The answer is an empty success, and the journal has the very bytes, unknown fields included."""
    later = b"\xa2\x06\x03new"  # field 100, of an OTLP to come; serialising anew would put it last
    body = later + make_request(spans=3).SerializeToString()
    answer = send(receiver, body)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == PROTOBUF
    assert journalled(receiver) == [body]
    counters = receiver.journal.counters()
    counters.pop(("proofs", ""), None)  # made by the clock
    assert counters == {
        ("requests_received", "http"): 1,
        ("bytes_received", "http"): len(body),
        ("spans_received", "http"): 3,
    }


def test_a_json_request_is_journalled_as_protobuf(receiver: Any) -> None:
    """The specification's shape of JSON is taken, its parameters too, and answered in JSON."""
    span = '{"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "name": "é"}'
    body = '{"resourceSpans": [{"scopeSpans": [{"spans": [' + span + "]}]}]}"
    answer = send(receiver, body.encode(), "application/json; charset=utf-8")
    assert (answer.status, json.loads(answer.body)) == (200, {})
    assert answer.headers["Content-Type"] == JSON
    kept = ExportTraceServiceRequest.FromString(journalled(receiver)[0])
    assert kept.resource_spans[0].scope_spans[0].spans[0].name == "é"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_and_chunked_bodies_are_taken(receiver: Any, make_request: MakeRequest, encoding: str) -> None:
    """A compressed body that arrives in chunks without a length is journalled decompressed."""
    body = make_request(spans=2, size=5000).SerializeToString()
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)
    chunks = (packed[start : start + 50] for start in range(0, len(packed), 50))
    assert send(receiver, chunks, Content_Encoding=encoding).status == 200
    assert journalled(receiver) == [body]


def test_a_large_body_is_taken(receiver: Any, make_request: MakeRequest) -> None:
    """A body beyond the size that is decoded on the event loop comes through whole."""
    body = make_request(spans=20, size=50_000).SerializeToString()
    assert send(receiver, body).status == 200
    assert journalled(receiver) == [body]


@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_a_bad_span_is_told_and_its_neighbours_kept(
    receiver: Any, make_request: MakeRequest, content_type: str
) -> None:
    """The partial success has the exact number and the rule; the journal has the other spans alone."""
    request = make_request(spans=3)
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[1].parent_span_id = b"p" * 7
    if content_type == JSON:
        fields = json_format.MessageToDict(request)
        for item, span in zip(fields["resourceSpans"][0]["scopeSpans"][0]["spans"], spans, strict=True):
            item.update(traceId=span.trace_id.hex(), spanId=span.span_id.hex(), parentSpanId=span.parent_span_id.hex())
        answer = send(receiver, json.dumps(fields).encode(), JSON)
        response = json_format.Parse(answer.body, ExportTraceServiceResponse())
    else:
        answer = send(receiver, request.SerializeToString())
        response = ExportTraceServiceResponse.FromString(answer.body)
    assert answer.status == 200
    assert response.partial_success.rejected_spans == 1
    assert "parent_span_id must be empty or 8 bytes" in response.partial_success.error_message
    del spans[1]
    assert [ExportTraceServiceRequest.FromString(item) for item in journalled(receiver)] == [request]
    assert receiver.journal.counters()["spans_rejected", "parent_span_id"] == 1
    assert receiver.journal.counters()["spans_received", "http"] == 2


def test_a_span_that_ends_before_it_starts_is_kept(receiver: Any, make_request: MakeRequest) -> None:
    """With a duration of 0, its neighbours as they came; the answer is a plain success, the metric counts it."""
    request = make_request(spans=3)
    odd = request.resource_spans[0].scope_spans[0].spans[1]
    odd.end_time_unix_nano = odd.start_time_unix_nano - 1
    answer = send(receiver, request.SerializeToString())
    assert (answer.status, answer.body) == (200, b"")
    odd.end_time_unix_nano = odd.start_time_unix_nano
    assert [ExportTraceServiceRequest.FromString(item) for item in journalled(receiver)] == [request]
    assert receiver.journal.counters()["spans_adjusted", "end_before_start"] == 1
    assert receiver.journal.counters()["spans_received", "http"] == 3


def test_nothing_to_keep_is_a_success_without_an_entry(
    receiver: Any, make_request: MakeRequest, eventually: Eventually
) -> None:
    """An empty request is acked, one with bad spans only gets a partial success; neither leaves an entry; both are counted."""
    assert send(receiver, b"").body == b""
    request = make_request()
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = bytes(16)
    answer = send(receiver, request.SerializeToString())
    assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
    eventually(lambda: receiver.journal.counters().get(("requests_received", "http")) == 2)
    assert receiver.journal.counters()["spans_rejected", "trace_id"] == 1
    assert receiver.journal.pending() == (0, 0)


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "status", "reason"),
    [
        (b"\xff\xff\xff", PROTOBUF, "", 400, "undecodable"),
        (b"{", JSON, "", 400, "undecodable"),
        (b"not gzip", JSON, "gzip", 400, "undecodable"),
        (b"", "text/plain", "", 415, "unsupported"),
        (b"", PROTOBUF, "br", 415, "unsupported"),
        (bytes((64 << 20) + 1), PROTOBUF, "", 413, "too_large"),
        (gzip.compress(bytes((64 << 20) + 1), 1), PROTOBUF, "gzip", 413, "too_large"),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_what_cannot_be_taken_is_refused_for_good(
    receiver: Any,
    eventually: Eventually,
    body: bytes,
    content_type: str,
    encoding: str,
    status: int,
    reason: str,
) -> None:
    """Each fault has its status and counter; the body is a Status in the request's encoding, no Retry-After."""
    answer = send(receiver, body, content_type, Content_Encoding=encoding)
    assert answer.status == status
    assert answer.headers["Retry-After"] is None
    status_body = (
        Status.FromString(answer.body) if content_type == PROTOBUF else json_format.Parse(answer.body, Status())
    )
    expected = code_pb2.RESOURCE_EXHAUSTED if status == 413 else code_pb2.INVALID_ARGUMENT
    assert (status_body.code, bool(status_body.message)) == (expected, True)
    eventually(lambda: receiver.journal.counters().get(("requests_refused", reason)) == 1)


def test_an_endless_chunked_body_is_cut_off_at_the_limit(receiver: Any) -> None:
    """A body without a length is refused while it still comes, before it is held whole."""
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", PROTOBUF)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    megabyte = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    for _ in range(65):
        connection.send(megabyte)
    assert connection.getresponse().status == 413  # the body has not ended
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v1/traces", 405, "Method Not Allowed"),
        ("POST", "/v1/metrics", 404, "metrics are not taken (set OTEL_METRICS_EXPORTER=none)"),
        ("POST", "/v1/trace", 404, "traces go to /v1/traces"),
    ],
)
def test_other_paths_and_methods_say_what_is_there(
    receiver: Any, method: str, path: str, status: int, text: str
) -> None:
    """Metrics, typing mistakes and browsers get a Status that names the way."""
    answer = send(receiver, b"", JSON, path, method)
    assert answer.status == status
    assert text in json.loads(answer.body)["message"]
    assert answer.headers["Allow"] == ("POST" if status == 405 else None)


def test_a_full_journal_answers_503_and_recovers(
    start_receiver: Callable[..., Any], make_request: MakeRequest, eventually: Eventually
) -> None:
    """Beyond max_size the client is asked to come back in a second, and is taken once there is room."""
    receiver = start_receiver(max_size=3000)
    body = make_request(size=2000).SerializeToString()
    assert send(receiver, body).status == 200
    answer = send(receiver, body)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert Status.FromString(answer.body).code == code_pb2.UNAVAILABLE
    receiver.journal.delete_done([1])
    assert send(receiver, body).status == 200
    assert len(journalled(receiver)) == 1
    eventually(lambda: receiver.journal.counters().get(("requests_refused", "full")) == 1)
    assert receiver.journal.counters()["spans_received", "http"] == 2
