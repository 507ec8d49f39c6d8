"""The receive process: durable acks, clean stops, clear failures, a light start."""

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.receive import server
from qualitrace_collector.settings import CollectorConfig
from support.receiving import receiving

MakeRequest = Callable[..., ExportTraceServiceRequest]
Spawn = Callable[..., "subprocess.Popen[str]"]

# The arguments are the two addresses and the data folder.
MAIN = """
import sys
from qualitrace_collector.config import parse_config
from qualitrace_collector.receive.server import main
from qualitrace_collector.receive.settings import ReceiveConfig
listen = {"otlp_http": sys.argv[1], "otlp_grpc": sys.argv[2]}
config = parse_config({"listen": listen, "data_dir": sys.argv[3]}, ReceiveConfig)
sys.exit(main(config, lambda: print("ready", flush=True)))
"""

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.readline()
"""


def arguments(config: CollectorConfig) -> list[str]:
    """Return what MAIN takes."""
    return [config.listen.otlp_http, config.listen.otlp_grpc, str(config.data_dir)]


@pytest.fixture
def spawn() -> Generator[Spawn]:
    """Start Python with a script; it is killed after the test if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *args: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", script, *args]
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def post(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Send one protobuf request over a connection that is kept; return the status."""
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    response = connection.getresponse()
    response.read()
    return response.status


def payloads(config: CollectorConfig) -> list[bytes]:
    """Return what is in the journal's file."""
    journal = SqliteJournal(config.data_dir / "journal.db", 1 << 30)
    entries = journal.read(0, 1_000_000, 1 << 40)
    journal.close()
    return [entry.payload for entry in entries]


class Acked:
    """What was acked so far; `enough` is set at 300 requests."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.enough = threading.Event()

    def add(self, body: bytes) -> None:
        self.bodies.append(body)
        if len(self.bodies) >= 300:
            self.enough.set()


def send_over_http(config: CollectorConfig, make_request: MakeRequest, acked: Acked) -> None:
    """Send one request after the other until the server is gone."""
    connection = http.client.HTTPConnection(config.listen.otlp_http, timeout=20)
    with suppress(OSError, http.client.HTTPException):
        while True:
            body = make_request(size=500).SerializeToString()
            assert post(connection, body) == 200
            acked.add(body)


def send_over_grpc(config: CollectorConfig, make_request: MakeRequest, acked: Acked) -> None:
    """Send one request after the other until the server is gone."""
    with grpc.insecure_channel(config.listen.otlp_grpc) as channel, suppress(grpc.RpcError):
        while True:
            request = make_request(size=500)
            TraceServiceStub(channel).Export(request, timeout=20)
            acked.add(request.SerializeToString())


def test_what_was_acked_survives_sigkill(
    spawn: Spawn, receive_config: Callable[..., CollectorConfig], make_request: MakeRequest
) -> None:
    """Clients on both doors send until the process is killed in full flight: every acked request is there."""
    config = receive_config()
    process = spawn(MAIN, *arguments(config))
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    acked = Acked()
    with ThreadPoolExecutor(8) as clients:
        for _ in range(4):
            clients.submit(send_over_http, config, make_request, acked)
            clients.submit(send_over_grpc, config, make_request, acked)
        assert acked.enough.wait(60)
        process.kill()
    kept = payloads(config)
    assert set(acked.bodies) <= set(kept)
    assert len(kept) == len(set(kept))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(
    spawn: Spawn, receive_config: Callable[..., CollectorConfig], make_request: MakeRequest, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT end the process with code 0 and without a word, an idle connection or not."""
    config = receive_config()
    process = spawn(MAIN, *arguments(config))
    assert process.stdout
    process.stdout.readline()
    connection = http.client.HTTPConnection(config.listen.otlp_http, timeout=20)
    assert post(connection, make_request().SerializeToString()) == 200
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
    assert len(payloads(config)) == 1


def test_it_stops_when_its_parent_dies(spawn: Spawn, receive_config: Callable[..., CollectorConfig]) -> None:
    """An orphan would keep the ports: it closes them by itself soon after its parent was killed."""
    config = receive_config()
    parent = spawn(PARENT, MAIN, *arguments(config))
    assert parent.stdout
    assert parent.stderr
    parent.stdout.readline()
    parent.kill()
    parent.wait()
    assert parent.stderr.read() == ""  # the orphan holds the other end until it ends
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(config.listen.otlp_http, timeout=20).connect()


@pytest.mark.parametrize("setting", ["otlp_http", "otlp_grpc"])
def test_a_taken_address_is_named(spawn: Spawn, receive_config: Callable[..., CollectorConfig], setting: str) -> None:
    """The process ends with code 1 and one line: the setting, the address, the reason and the remedy."""
    config = receive_config()
    address = getattr(config.listen, setting)
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        process = spawn(MAIN, *arguments(config))
        out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert out == ""
    assert err == (
        f"qualitrace receive: {setting} {address}: address already in use; stop what uses it, or give an address of "
        f"this host by listen.{setting}\n"
    )


def test_a_damaged_journal_is_named(spawn: Spawn, receive_config: Callable[..., CollectorConfig]) -> None:
    """With garbage in the journal's place the process ends with code 1 and names the file."""
    config = receive_config()
    config.data_dir.mkdir()
    (config.data_dir / "journal.db").write_bytes(b"garbage " * 100)
    process = spawn(MAIN, *arguments(config))
    assert "journal.db: is damaged or no journal" in process.communicate(timeout=20)[1]
    assert process.returncode == 1


def test_it_never_loads_what_is_heavy() -> None:
    """Importing the receiver loads neither mlflow nor pandas nor the rest of the collector."""
    script = "import sys, qualitrace_collector.receive.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "h2" in loaded
    assert not loaded & {"mlflow", "grpc", "pandas", "numpy", "sqlalchemy", "qualitrace_collector.state"}


def test_a_request_half_sent_at_stop_is_refused_and_does_not_hold_it_up(
    receiver: Any, make_request: MakeRequest, eventually: Callable[..., Any]
) -> None:
    """A body that ends after the stop gets 503 with Retry-After, so that its client keeps it."""
    body = make_request().SerializeToString()
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", "application/x-protobuf")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:10])
    assert post(http.client.HTTPConnection(receiver.http, timeout=20), b"") == 200  # the first is read by now
    stopping = threading.Thread(target=receiver.stop)
    stopping.start()

    def closed() -> bool:
        with socket.socket() as probe:
            host, _, port = receiver.http.rpartition(":")
            return probe.connect_ex((host, int(port))) != 0

    eventually(closed)
    connection.send(body[10:])
    response = connection.getresponse()
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    connection.close()
    stopping.join(20)
    assert receiver.journal.pending() == (0, 0)


def test_a_request_that_takes_longer_than_the_stop_is_to_be_sent_again(
    receive_config: Callable[..., CollectorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets 503 with Retry-After: after a 500 OTLP's clients drop it."""
    monkeypatch.setattr(server, "GRACE_SECONDS", 0)
    with receiving(receive_config()) as receiver:
        connection = http.client.HTTPConnection(receiver.http, timeout=20)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("Content-Type", "application/x-protobuf")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"half")
        assert post(http.client.HTTPConnection(receiver.http, timeout=20), b"") == 200  # the first is read by now
        receiver.stop()
        response = connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        connection.close()
