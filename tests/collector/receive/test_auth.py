"""Bearer tokens at both doors, and when a door may be open to everybody."""

import hashlib
import http.client
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.receive.errors import Unauthenticated
from qualitrace_collector.receive.guard import Tokens
from qualitrace_collector.receive.settings import OtlpToken
from qualitrace_collector.settings import CollectorConfig

MakeRequest = Callable[..., ExportTraceServiceRequest]
TOKEN, OTHER_TOKEN = "t0ken-of-acme", "t0ken-of-globex"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
WRONG = ["", "Bearer", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9", f"Bearer {DIGEST}"]


@pytest.fixture
def guarded(start_receiver: Callable[..., Any], tmp_path: Path) -> Any:
    """A receiver that takes two tokens, one by its digest and one from a file."""
    (tmp_path / "token").write_text(f"{OTHER_TOKEN}\n")
    return start_receiver(otlp={"tokens": [{"sha256": DIGEST}, {"token_file": str(tmp_path / "token")}]})


@pytest.fixture
def stub(guarded: Any) -> Generator[Any]:
    """A gRPC client of that receiver."""
    with grpc.insecure_channel(guarded.grpc) as channel:
        yield TraceServiceStub(channel)


def post(receiver: Any, body: bytes, authorization: str) -> http.client.HTTPResponse:
    """Send a protobuf request; an empty authorization is left out."""
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    headers = {"Authorization": authorization} if authorization else {}
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf", **headers})
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    connection.close()
    return response


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"Bearer {OTHER_TOKEN}"])
def test_either_token_opens_both_doors(guarded: Any, stub: Any, make_request: MakeRequest, authorization: str) -> None:
    """The token by its digest and the one from a file are taken over HTTP and gRPC, whatever the scheme's case."""
    request = make_request()
    assert post(guarded, request.SerializeToString(), authorization).status == 200
    stub.Export(request, timeout=20, metadata=[("authorization", authorization)])
    assert guarded.payloads() == [request.SerializeToString()] * 2


@pytest.mark.parametrize("authorization", WRONG)
def test_http_asks_who_is_there(
    guarded: Any, make_request: MakeRequest, eventually: Callable[..., Any], authorization: str
) -> None:
    """Without a token, or with a wrong one, 401 says how to send it; nothing is kept, the refusal is counted."""
    response = post(guarded, make_request().SerializeToString(), authorization)
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    status = Status.FromString(response.body)  # type: ignore[attr-defined]
    assert status.code == code_pb2.UNAUTHENTICATED
    assert "Authorization: Bearer TOKEN" in status.message
    eventually(lambda: guarded.journal.counters().get(("requests_refused", "unauthenticated")) == 1)
    assert guarded.journal.pending() == (0, 0)


@pytest.mark.parametrize("authorization", [text for text in WRONG if text.isascii()])
def test_grpc_asks_who_is_there(
    guarded: Any, stub: Any, make_request: MakeRequest, eventually: Callable[..., Any], authorization: str
) -> None:
    """Without a token, or with a wrong one, the call ends as UNAUTHENTICATED; nothing is kept."""
    metadata = [("authorization", authorization)] if authorization else []
    with pytest.raises(grpc.RpcError) as caught:
        stub.Export(make_request(), timeout=20, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]
    eventually(lambda: guarded.journal.counters().get(("requests_refused", "unauthenticated")) == 1)
    assert guarded.journal.pending() == (0, 0)


def test_a_stranger_is_answered_before_its_body(guarded: Any) -> None:
    """Nobody without a token makes the collector read: the answer comes while the body is still to be sent."""
    connection = http.client.HTTPConnection(guarded.http, timeout=20)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", "application/x-protobuf")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_opentelemetrys_exporters_show_the_token(guarded: Any) -> None:
    """With the `headers` that OpenTelemetry's exporters document, spans arrive over both protocols."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    exporters = (
        HttpExporter(endpoint=f"http://{guarded.http}/v1/traces", headers=headers),
        GrpcExporter(endpoint=guarded.grpc, insecure=True, headers=headers),
    )
    provider = TracerProvider()
    for exporter in exporters:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("step").end()
    provider.shutdown()
    counters = guarded.journal.counters()
    assert (counters["spans_received", "http"], counters["spans_received", "grpc"]) == (1, 1)


@given(st.text(max_size=60))
def test_only_the_token_is_the_token(authorization: str) -> None:
    """Whatever else a header holds, it is refused in the same way and breaks nothing."""
    tokens = Tokens([OtlpToken(sha256=DIGEST)])
    for text in (authorization, f"Bearer {authorization}"):
        with pytest.raises(Unauthenticated):
            tokens.tenant_of(text)


def test_tenants_come_from_tokens() -> None:
    """A token's tenant, an empty one for a token without, none at all if no token has one or there are no tokens."""
    acme, plain = OtlpToken(sha256=DIGEST, tenant="acme"), OtlpToken.model_validate({"token": OTHER_TOKEN})
    header, other_header = f"Bearer {TOKEN}", f"Bearer {OTHER_TOKEN}"
    assert Tokens([acme, plain]).tenant_of(header) == "acme"
    assert Tokens([acme, plain]).tenant_of(other_header) == ""
    assert Tokens([plain]).tenant_of(other_header) is None
    assert Tokens([]).tenant_of("") is None


def mistakes(raw: dict[str, Any]) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, CollectorConfig)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("otlp", "message"),
    [
        ({"tokens": [{"sha256": "abc"}]}, "otlp.tokens.0.sha256: must be 64 hexadecimal digits"),
        ({"tokens": [{"token": "two words"}]}, "otlp.tokens.0.token: must be ASCII without blanks"),
        ({"tokens": [{"tenant": "acme"}]}, "otlp.tokens.0: needs one of sha256, token and token_file"),
        ({"tokens": [{"sha256": DIGEST, "token": TOKEN}]}, "otlp.tokens.0: needs one of sha256, token and token_file"),
        ({"tokens": [{"sha256": DIGEST}, {"token": TOKEN}]}, "otlp: tokens: the same token stands twice"),
        ({"tokens": [{"token_file": "/no/such"}]}, "otlp.tokens.0: token_file: cannot read /no/such: No such file"),
        ({"tokens": [{"sha265": DIGEST}]}, "otlp.tokens.0: unknown key 'sha265', did you mean 'sha256'?"),
        ({"tokens": [{"sha256": DIGEST}], "allow_unauthenticated": True}, "otlp: tokens are set, so that every"),
        ({"header_timeout": 0}, "otlp.header_timeout: must be more than 0 (got 0.0)"),
    ],
)  # fmt: skip
def test_mistakes_in_the_section_are_told(otlp: dict[str, Any], message: str) -> None:
    """Each with its place and the remedy."""
    assert any(line.startswith(message) for line in mistakes({"otlp": otlp})), mistakes({"otlp": otlp})


def test_tokens_are_not_shown(tmp_path: Path) -> None:
    """Neither a configuration that is printed nor a mistake in it gives a token away."""
    assert TOKEN not in repr(parse_config({"otlp": {"tokens": [{"token": TOKEN}]}}, CollectorConfig))
    assert "two words" not in str(mistakes({"otlp": {"tokens": [{"token": "two words"}]}}))


@pytest.mark.parametrize("door", ["otlp_http", "otlp_grpc"])
@pytest.mark.parametrize("address", ["0.0.0.0:4318", "[::]:4318", "192.0.2.7:4318"])
def test_a_door_beyond_loopback_needs_a_guard(door: str, address: str) -> None:
    """Without tokens the address is a mistake that names the ways out; each of them works."""
    (mistake,) = mistakes({"listen": {door: address}})
    assert mistake.startswith(f"listen.{door}: ")
    for way_out in ("otlp.tokens", "otlp.tls.client_ca_file", "127.0.0.1", "otlp.allow_unauthenticated"):
        assert way_out in mistake
    for otlp in ({"tokens": [{"sha256": DIGEST}]}, {"allow_unauthenticated": True}):
        assert getattr(parse_config({"listen": {door: address}, "otlp": otlp}, CollectorConfig).listen, door) == address
