"""What strangers send that is neither HTTP, gRPC nor TLS: it fills no log, and honest clients do not notice it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from qualitrace_collector.settings import CollectorConfig
from support.waiting import eventually

pytestmark = pytest.mark.slow

REQUESTS = 200
LOG_BYTES = 20_000
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n"
JUNK = {
    "bytes": bytes(range(256)),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "no HTTP": b"EHLO example\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01" + bytes(range(200)),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(200)),
}


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """Issue a certificate; provide the section `tls`."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    return {"cert_file": str(tmp_path / "server.pem"), "key_file": str(tmp_path / "server.pem")}


def send(address: str, data: bytes) -> None:
    """Send, and wait for the answer or the end; the server may close the connection before it has read everything."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection, suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "TLS"])
def test_a_flood_of_junk_leaves_little_in_the_log(
    tmp_path: Path, receive_config: Callable[..., CollectorConfig], tls: dict[str, str], has_tls: bool
) -> None:
    """Hundreds of each kind at either door write a few kilobytes."""
    listen = receive_config().listen
    config: dict[str, Any] = {
        "listen": listen.model_dump(include={"otlp_http", "otlp_grpc"}),
        "data_dir": str(tmp_path / "data"),
        "otlp": {"tls": tls} if has_tls else {},
    }
    (path := tmp_path / "qualitrace.yaml").write_text(json.dumps(config))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    with (log := tmp_path / "log").open("wb") as output:
        command = [sys.executable, "-m", "qualitrace_collector.receive", "--config", str(path)]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        eventually(lambda: send(listen.otlp_http, b"") is None)
        for data in JUNK.values():
            for _ in range(REQUESTS):
                send(listen.otlp_http, data)
                send(listen.otlp_grpc, data)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)
    assert log.stat().st_size < LOG_BYTES
