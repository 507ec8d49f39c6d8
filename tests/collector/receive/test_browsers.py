"""Web pages at the OTLP/HTTP port: what a browser sends for them, told by its Host and Origin headers."""

import http.client
import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.config import ConfigError
from support.ports import free_port

MakeRequest = Callable[..., ExportTraceServiceRequest]
PATHS = ["/v1/traces", "/v1/logs", "/v1/feedback"]
SHOP = "https://shop.example"


def send(
    receiver: Any, path: str, body: bytes = b"{}", method: str = "POST", **headers: str
) -> http.client.HTTPResponse:
    """Send a request as a browser does; `Host` and `Origin` are among `headers`."""
    _, _, port = receiver.http.rpartition(":")
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": "application/json"} | fields)
    return connection.getresponse()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:4318", "localhost.evil.example:4318", "localhost..", "192.0.2.1"]
)
def test_a_name_that_was_rebound_to_loopback_is_not_served(receiver: Any, path: str, host: str) -> None:
    """The page's own site in the Host header gets 421, which names the setting; nothing is kept."""
    response = send(receiver, path, Host=host)
    assert response.status == 421
    assert "listen.allowed_hosts" in json.loads(response.read())["message"]
    assert receiver.journal.pending() == (0, 0)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "own"])
def test_a_page_is_refused(receiver: Any, path: str, origin: str) -> None:
    """Every origin gets 403, the port's own too: it has no pages. No answer allows a page to read it."""
    response = send(receiver, path, Origin=f"http://{receiver.http}" if origin == "own" else origin)
    assert response.status == 403
    assert "access-control-allow-origin" not in {name.lower() for name in response.headers}


def test_a_refusal_is_counted(receiver: Any, eventually: Callable[..., Any]) -> None:
    """The counter tells hosts and origins apart."""
    send(receiver, "/v1/traces", Host="evil.example")
    send(receiver, "/v1/traces", Origin="http://evil.example")
    counts = {("requests_refused", "host"): 1, ("requests_refused", "origin"): 1}
    eventually(lambda: counts.items() <= receiver.journal.counters().items())


@pytest.mark.parametrize(
    "host",
    [
        *("localhost:4318", "LOCALHOST", "localhost.", "localhost.:4318"),
        *("127.0.0.1:4318", "127.0.0.1", "127.0.0.1.:4318", "[::1]:4318", "127.0.1.1:4318", "0.0.0.0:4318"),
    ],
)
def test_exporters_on_this_host_are_served(receiver: Any, host: str) -> None:
    """Each name and address of loopback is served, with any port."""
    assert send(receiver, "/v1/traces", Host=host).status == 200


@pytest.mark.parametrize(
    ("listen", "host", "status"),
    [
        ({"otlp_http": "0.0.0.0"}, "collector:4318", 200),
        ({"otlp_http": "0.0.0.0"}, "10.0.0.7:4318", 200),
        ({"otlp_http": "0.0.0.0", "allowed_hosts": ["Collector"]}, "collector:4318", 200),
        ({"otlp_http": "0.0.0.0", "allowed_hosts": ["collector"]}, "collector.:4318", 200),
        ({"otlp_http": "0.0.0.0", "allowed_hosts": ["collector"]}, "localhost:4318", 200),
        ({"otlp_http": "0.0.0.0", "allowed_hosts": ["collector"]}, "evil.example:4318", 421),
        ({"otlp_http": "127.0.0.1", "allowed_hosts": ["host.docker.internal"]}, "host.docker.internal:4318", 200),
    ],
)
def test_names_of_containers_are_served(
    start_receiver: Callable[..., Any], listen: dict[str, Any], host: str, status: int
) -> None:
    """Beyond loopback every name is served, unless allowed_hosts says which; on loopback it adds names."""
    listen = listen | {"otlp_http": f"{listen['otlp_http']}:{free_port()}"}
    receiver = start_receiver(otlp={"allow_unauthenticated": True}, **listen)
    assert send(receiver, "/v1/traces", Host=host).status == status


def test_a_page_that_is_allowed_may_send(start_receiver: Callable[..., Any], make_request: MakeRequest) -> None:
    """Its browser asks first and may send traces and feedback, and the page may read the answers, refusals too."""
    receiver = start_receiver(otlp={"allowed_origins": ["https://Shop.example"]})
    asked = send(
        receiver,
        "/v1/feedback",
        b"",
        "OPTIONS",
        Origin=SHOP,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,idempotency-key",
    )
    assert asked.status == 200
    assert asked.headers["Access-Control-Allow-Origin"] == SHOP
    assert "idempotency-key" in asked.headers["Access-Control-Allow-Headers"]
    body = make_request().SerializeToString()
    sent = send(receiver, "/v1/traces", body, Origin=SHOP, Content_Type="application/x-protobuf")
    refused = send(receiver, "/v1/feedback", b"{}", Origin=SHOP)
    assert (sent.status, refused.status) == (200, 400)
    assert [answer.headers["Access-Control-Allow-Origin"] for answer in (sent, refused)] == [SHOP, SHOP]
    assert receiver.payloads() == [body]


def test_other_pages_are_refused_beside_one_that_is_allowed(start_receiver: Callable[..., Any]) -> None:
    """Neither the question of a browser nor a request without one passes, and a rebound host does not help."""
    receiver = start_receiver(otlp={"allowed_origins": [SHOP]})
    evil = "https://evil.example"
    asked = send(receiver, "/v1/traces", b"", "OPTIONS", Origin=evil, Access_Control_Request_Method="POST")
    assert asked.status == 400
    assert "Access-Control-Allow-Origin" not in asked.headers
    assert send(receiver, "/v1/traces", Origin=evil).status == 403
    assert send(receiver, "/v1/traces", Origin=SHOP, Host="evil.example").status == 421


@pytest.mark.parametrize("origin", ["*", "shop.example", "https://shop.example/", "https://*.example"])
def test_an_origin_is_written_as_browsers_send_it(receive_config: Callable[..., Any], origin: str) -> None:
    """Anything else would never match, and is a mistake in the configuration."""
    with pytest.raises(ConfigError, match=r"otlp\.allowed_origins.*https://shop\.example"):
        receive_config(otlp={"allowed_origins": [origin]})
