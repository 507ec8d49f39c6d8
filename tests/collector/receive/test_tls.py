"""TLS and client certificates at both doors, with a certificate authority of the test's own."""

import hashlib
import http.client
import re
import ssl
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import yaml
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.settings import CollectorConfig

MakeRequest = Callable[..., ExportTraceServiceRequest]


class Authority:
    """A CA, and the files of certificates that it issued."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.pem = self.ca.cert_pem.bytes()
        (folder / "ca.pem").write_bytes(self.pem)

    def issue(self, name: str) -> tuple[str, str]:
        """Issue a certificate for 127.0.0.1; return the paths of it and of its key."""
        issued = self.ca.issue_cert("127.0.0.1")
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return str(certificate), str(key)

    def server(self, *, client_ca: bool) -> dict[str, str]:
        """Return the section `tls` of a server."""
        certificate, key = self.issue("server")
        ca = {"client_ca_file": str(self.folder / "ca.pem")} if client_ca else {}
        return {"cert_file": certificate, "key_file": key, **ca}

    def context(self, pair: tuple[str, str] | None = None) -> ssl.SSLContext:
        """Make a client's context that trusts this CA, with a certificate or without."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if pair:
            context.load_cert_chain(*pair)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def post(receiver: Any, body: bytes, context: ssl.SSLContext) -> int:
    """Send a protobuf request over HTTPS; return the status."""
    connection = http.client.HTTPSConnection(receiver.http, timeout=20, context=context)
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    status = connection.getresponse().status
    connection.close()
    return status


def export(receiver: Any, request: ExportTraceServiceRequest, ca: bytes, pair: tuple[str, str] | None = None) -> None:
    """Send a request over gRPC with TLS."""
    certificate, key = (Path(path).read_bytes() for path in pair) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    with grpc.secure_channel(receiver.grpc, credentials) as channel:
        TraceServiceStub(channel).Export(request, timeout=10)


def test_both_doors_speak_tls(
    start_receiver: Callable[..., Any], authority: Authority, make_request: MakeRequest
) -> None:
    """Clients that trust the CA are served over HTTPS and gRPC with TLS."""
    receiver = start_receiver(otlp={"tls": authority.server(client_ca=False)})
    request = make_request()
    assert post(receiver, request.SerializeToString(), authority.context()) == 200
    export(receiver, request, authority.pem)
    assert receiver.payloads() == [request.SerializeToString()] * 2


def test_plain_text_is_not_answered_where_tls_is_asked(
    start_receiver: Callable[..., Any], authority: Authority, make_request: MakeRequest
) -> None:
    """A client without TLS gets nothing, so that no prompt travels in the clear unnoticed."""
    receiver = start_receiver(otlp={"tls": authority.server(client_ca=False)})
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    connection.request("POST", "/v1/traces", make_request().SerializeToString())
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    with grpc.insecure_channel(receiver.grpc) as channel, pytest.raises(grpc.RpcError):
        TraceServiceStub(channel).Export(make_request(), timeout=10)
    assert receiver.payloads() == []


def test_senders_prove_themselves_by_certificate(
    start_receiver: Callable[..., Any], authority: Authority, make_request: MakeRequest
) -> None:
    """With client_ca_file a client's certificate of that CA opens both doors."""
    receiver = start_receiver(otlp={"tls": authority.server(client_ca=True)})
    pair, request = authority.issue("client"), make_request()
    assert post(receiver, request.SerializeToString(), authority.context(pair)) == 200
    export(receiver, request, authority.pem, pair)
    assert len(receiver.payloads()) == 2


@pytest.mark.parametrize("stranger", [True, False], ids=["another CA's", "none"])
def test_strangers_are_not_let_in(
    start_receiver: Callable[..., Any],
    authority: Authority,
    make_request: MakeRequest,
    tmp_path_factory: pytest.TempPathFactory,
    stranger: bool,
) -> None:
    """Without a certificate, or with another CA's, neither door takes anything."""
    receiver = start_receiver(otlp={"tls": authority.server(client_ca=True)})
    pair = Authority(tmp_path_factory.mktemp("other")).issue("client") if stranger else None
    with pytest.raises((OSError, http.client.HTTPException)):
        post(receiver, make_request().SerializeToString(), authority.context(pair))
    with pytest.raises(grpc.RpcError):
        export(receiver, make_request(), authority.pem, pair)
    assert receiver.payloads() == []


def test_the_shown_example_loads(authority: Authority) -> None:
    """The shown configuration, with real files in place of the names, guards both doors beyond loopback."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "security.md").read_text()
    example = re.split(r"```yaml.*\n", page)[1].split("```", 1)[0]
    token = authority.folder / "token"
    token.write_text("0123456789abcdef")
    certificate, key = authority.issue("server")
    files = {"/run/secrets/otlp-token": str(token), "server.pem": certificate, "server.key": key}
    for shown, real in (files | {"clients.pem": str(authority.folder / "ca.pem")}).items():
        example = example.replace(shown, real)
    config = parse_config(yaml.safe_load(textwrap.dedent(example)), CollectorConfig)
    assert config.otlp.tokens[0].digest == hashlib.sha256(b"test").digest()
    assert config.otlp.tls


def test_client_certificates_open_a_door_beyond_loopback(authority: Authority) -> None:
    """mTLS guards a door as tokens do; TLS alone does not, for it lets everybody in."""
    listen = {"otlp_http": "0.0.0.0:4318"}
    assert parse_config({"listen": listen, "otlp": {"tls": authority.server(client_ca=True)}}, CollectorConfig).otlp.tls
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is not loopback"):
        parse_config({"listen": listen, "otlp": {"tls": authority.server(client_ca=False)}}, CollectorConfig)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cert_file": "/no/such.pem"}, "cert_file: cannot read /no/such.pem: No such file or directory"),
        ({"key_file": "OTHER"}, "cannot be used: key values mismatch; give PEM files"),
        ({"key_file": "LOCKED"}, "key_file with its key (without a passphrase)"),
        ({"cert_file": "EMPTY"}, "cannot be used: "),
        ({"client_ca_file": "EMPTY"}, "cannot be used: "),
    ],
)
def test_certificates_that_cannot_be_used_are_told_at_the_start(
    authority: Authority, change: dict[str, str], message: str
) -> None:
    """With the place and the reason, and without a question for a passphrase on the terminal."""
    tls = authority.server(client_ca=True)
    key = load_pem_private_key(Path(tls["key_file"]).read_bytes(), None)
    locked, empty = authority.folder / "locked.key", authority.folder / "empty"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    empty.touch()
    files = {"OTHER": authority.issue("other")[1], "LOCKED": str(locked), "EMPTY": str(empty)}
    wrong = tls | {name: files.get(path, path) for name, path in change.items()}
    with pytest.raises(ConfigError) as caught:
        parse_config({"otlp": {"tls": wrong}}, CollectorConfig)
    (mistake,) = caught.value.mistakes
    assert mistake.startswith("otlp.tls: ")
    assert message in mistake
