"""Whatever comes to the doors: no server error, nothing invalid kept, and the next client is served."""

import asyncio
import socket
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from qualitrace_collector.config import parse_config
from qualitrace_collector.journal import GroupCommitter, SqliteJournal
from qualitrace_collector.receive.guard import DoorGuard
from qualitrace_collector.receive.http import http_app
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.settings import CollectorConfig
from support.damage import bodies, plain_bodies
from support.otlp import request, span
from support.receiving import Receiver, receive_config, receiving
from support.waiting import eventually

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TRACES_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass
class App:
    """The HTTP door without a socket, on a real journal."""

    runner: asyncio.Runner
    client: httpx.AsyncClient
    journal: SqliteJournal

    def send(self, method: str, path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> httpx.Response:
        """Send a request; an exception in the door is raised here."""
        return self.runner.run(self.client.request(method, path, content=body, headers=headers))

    def take_payloads(self) -> list[tuple[str, bytes]]:
        """Return and settle what was kept."""
        entries = self.journal.read(0, 1000, 1 << 30)
        self.journal.delete_done([entry.position for entry in entries])
        return [(entry.signal, entry.payload) for entry in entries]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Generator[App]:
    """Open the door."""
    config = parse_config({"data_dir": str(tmp_path_factory.mktemp("fuzz"))}, CollectorConfig)
    journal = SqliteJournal(config.data_dir / "journal.db", 1 << 30)
    committer = GroupCommitter(journal)
    door = http_app(Intake(committer, lambda: 1.0), DoorGuard.of(config))
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost")
        yield App(runner, client, journal)
    committer.stop()
    journal.close()


content_types = st.sampled_from([PROTOBUF, JSON] * 4 + ["", "text/plain", "Application/JSON ; charset=x", ";"])
header_names = st.sampled_from(
    [b"content-type", b"content-encoding", b"content-length", b"authorization", b"accept-encoding", b"host", b"x-any"]
)
header_lists = st.lists(st.tuples(header_names, st.binary(max_size=30)), max_size=4)


@settings(max_examples=200, deadline=None)
@given(bodies, content_types, st.sampled_from(["/v1/traces", "/v1/logs"]))
def test_no_body_makes_a_server_error(app: App, sent: tuple[bytes, str], content_type: str, path: str) -> None:
    """Any body under any type is answered 200, 400, 413 or 415, a refusal with a Status in the encoding."""
    body, encoding = sent
    headers = [(b"content-type", content_type.encode()), (b"content-encoding", encoding.encode())]
    answer = app.send("POST", path, body, headers)
    assert answer.status_code in (200, 400, 413, 415)
    if answer.status_code != 200:
        is_protobuf = answer.headers["content-type"] == content_type == PROTOBUF
        status = Status.FromString(answer.content) if is_protobuf else json_format.Parse(answer.content, Status())
        assert status.message
    for signal, payload in app.take_payloads():
        assert_valid(signal, payload)


def assert_valid(signal: str, payload: bytes) -> None:
    """Whatever was journalled parses, holds something, and has ids that the pipeline can use."""
    if signal == "traces":
        groups = ExportTraceServiceRequest.FromString(payload).resource_spans
        items = [item for group in groups for scope in group.scope_spans for item in scope.spans]
    else:
        logs = ExportLogsServiceRequest.FromString(payload).resource_logs
        items = [item for group in logs for scope in group.scope_logs for item in scope.log_records]
    assert items
    assert all(len(item.trace_id) == 16 and any(item.trace_id) for item in items)
    assert all(len(item.span_id) == 8 and any(item.span_id) for item in items)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"]),
    st.sampled_from(["/v1/traces", "/v1/logs", "/v1/metrics", "/", "/v1/traces/", "/v1/%ff", "//"]),
    header_lists,
    st.binary(max_size=20),
)
def test_no_head_makes_a_server_error(
    app: App, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """Any method, path and headers, repeated or senseless ones too, are answered as the client's matter."""
    assert app.send(method, path, body, headers).status_code < 500
    app.take_payloads()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Generator[Receiver]:
    """Run both doors on sockets."""
    folder: Path = tmp_path_factory.mktemp("doors")
    with receiving(receive_config(folder)) as started:
        yield started


pieces = st.sampled_from(
    [
        *(b"POST /v1/traces HTTP/1.1\r\n", b"Host: localhost\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffffff\r\n", b"0\r\n\r\n", b"Content-Type: a\r\n", b"\r\n"),
        *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\x00\x0c\x04\x00\x00\x00\x00\x00"),
    ]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(pieces | st.binary(max_size=20), max_size=8), st.sampled_from(["http", "grpc"]))
def test_no_bytes_on_a_port_disturb_the_next_client(receiver: Receiver, sent: list[bytes], door: str) -> None:
    """After a connection with broken HTTP/1.1 or HTTP/2 each door takes the request of another one."""
    host, port = getattr(receiver, door).split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"".join(sent))
    answer = httpx.post(f"http://{receiver.http}/v1/traces", headers={"content-type": PROTOBUF})
    assert answer.status_code == 200


@settings(max_examples=60, deadline=None)
@given(st.lists(plain_bodies, min_size=1, max_size=5))
def test_no_grpc_message_is_an_internal_error(receiver: Receiver, messages: list[bytes]) -> None:
    """Any message is taken or the client's mistake, and the connection goes on."""
    with grpc.insecure_channel(receiver.grpc) as channel:
        export = channel.unary_unary(TRACES_EXPORT)
        for call in [export.future(message, timeout=20) for message in messages]:
            assert call.exception() is None or call.code() is grpc.StatusCode.INVALID_ARGUMENT
        TraceServiceStub(channel).Export(request([span(1, 1)]), timeout=20)


def test_the_doors_still_stop_clean(receiver: Receiver) -> None:
    """After all of that both doors close within the grace period and the journal reads back."""
    receiver.stop()
    for signal, payload in ((entry.signal, entry.payload) for entry in receiver.journal.read(0, 1000, 1 << 30)):
        assert_valid(signal, payload)
    eventually(lambda: receiver.journal.counters().get(("requests_refused", "undecodable")))
