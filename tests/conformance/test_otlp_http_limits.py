"""OTLP/HTTP's limits: of requests, of answers, and of what the server can keep."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from support.otlp import request, span
from support.receiving import Receiver

Post = Callable[..., httpx.Response]
RETRYABLE = {429, 502, 503, 504}
MIB = 1 << 20


@pytest.mark.slow
def test_http_the_default_body_limit_is_64_mib(
    receiver: Receiver, post: Post, request_of_size: Callable[[int], Any]
) -> None:
    """A body that is decompressed to 64 MiB is taken, one to a byte more is 413."""

    def send(size: int) -> httpx.Response:
        body = gzip.compress(request_of_size(size).SerializeToString(), 1)
        return post(receiver, body, Content_Encoding="gzip")

    assert send(64 * MIB).status_code == 200
    assert send(64 * MIB + 1).status_code == 413
    assert len(receiver.payloads()) == 1


@pytest.mark.parametrize("compression", ["", "gzip"])
def test_http_the_body_limit_can_be_configured(
    start_receiver: Callable[..., Receiver],
    post: Post,
    request_of_size: Callable[[int], Any],
    encoding: Any,
    compression: str,
) -> None:
    """`listen.max_request_size` holds for bodies as sent and decompressed; the answer names the limit and is final."""
    receiver = start_receiver(max_request_size="10kB")
    body = encoding.write(request_of_size(10_001))
    body = gzip.compress(body) if compression else body
    answer = post(receiver, body, encoding.content_type, Content_Encoding=compression)
    status = encoding.read(answer, Status)
    assert (answer.status_code, status.code) == (413, code_pb2.RESOURCE_EXHAUSTED)
    assert "10000 bytes" in status.message
    assert not status.details
    assert receiver.payloads() == []
    largest = request_of_size(10_000).SerializeToString()
    largest = gzip.compress(largest) if compression else largest
    assert post(receiver, largest, Content_Encoding=compression).status_code == 200


def test_http_answers_are_far_below_4_mib(receiver: Receiver, post: Post) -> None:
    """Neither megabytes of nonsense nor a hundred thousand bad spans make an answer beyond a few kilobytes."""
    nonsense = json.dumps({"resourceSpans": [{"schemaUrl": 1, "scopeSpans": "x" * 5 * MIB}]}).encode()
    undecodable = post(receiver, nonsense, "application/json")
    assert undecodable.status_code == 400
    bad = span(1, 1)
    bad.trace_id = b""
    partial = post(receiver, request([bad] * 100_000).SerializeToString())
    assert partial.status_code == 200
    unsupported = post(receiver, b"", "x" * 30_000)
    assert unsupported.status_code == 415
    for answer in (undecodable, partial, unsupported):
        assert 0 < len(answer.content) < 4096


def test_http_overload_is_503_with_a_retry_after(
    start_receiver: Callable[..., Receiver], post: Post, encoding: Any, request_of_size: Callable[[int], Any]
) -> None:
    """A full journal asks for the same request again in a second or two, in the header and in the details."""
    receiver = start_receiver(max_size=1500)
    body = encoding.write(request_of_size(1000))
    assert post(receiver, body, encoding.content_type).status_code == 200
    answer = post(receiver, body, encoding.content_type)
    status, retry = encoding.read(answer, Status), RetryInfo()
    assert (answer.status_code, status.code) == (503, code_pb2.UNAVAILABLE)
    assert 1 <= int(answer.headers["retry-after"]) <= 2
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.seconds == int(answer.headers["retry-after"])
    receiver.journal.delete_done([1])
    assert post(receiver, body, encoding.content_type).status_code == 200


def test_http_status_codes_tell_what_to_retry(
    start_receiver: Callable[..., Receiver], post: Post, request_of_size: Callable[[int], Any]
) -> None:
    """The codes for which clients send again are used for exactly what may succeed then."""
    receiver = start_receiver(max_size=1500, max_request_size="10kB")
    fine = request_of_size(1000).SerializeToString()
    assert post(receiver, fine).status_code == 200
    assert post(receiver, fine).status_code in RETRYABLE
    for body, options in [(b"\xff", {}), (bytes(10_001), {}), (fine, {"content_type": "x/y"}), (fine, {"path": "/"})]:
        answer = post(receiver, body, **options)
        assert answer.is_client_error
        assert answer.status_code not in RETRYABLE
        assert "retry-after" not in answer.headers
