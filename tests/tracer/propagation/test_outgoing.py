"""Which hosts get baggage."""

from typing import Any

import pytest

import qualitrace
from qualitrace.propagation.outgoing import headers_for


@pytest.mark.parametrize(
    ("allowed", "host", "port", "gets"),
    [
        ("orders.internal", "orders.internal", 80, True),
        ("orders.internal", "ORDERS.internal.", 8080, True),
        ("orders.internal", "pre.orders.internal", 80, False),
        ("orders.internal", "orders.internal.evil.org", 80, False),
        ("*.internal", "a.b.internal", 80, True),
        ("*.internal", "internal", 80, False),
        ("*.internal", "evilinternal", 80, False),
        ("127.0.0.1:8000", "127.0.0.1", 8000, True),
        ("127.0.0.1:8000", "127.0.0.1", 8001, False),
        ("[::1]:8000", "::1", 8000, True),
        ("[::1]", "::1", 9, True),
        ("*.com,api.openai.com", "api.openai.com", 443, False),
        ("*.amazonaws.com", "bedrock-runtime.eu-central-1.amazonaws.com", 443, False),
        ("none", "orders.internal", 80, False),
    ],
)
def test_hosts(tracing: Any, allowed: str, host: str, port: int, gets: bool) -> None:
    """A pattern names a host, a port of it, or all hosts below a domain; providers of models are none of them."""
    qualitrace.shutdown()
    qualitrace.init(endpoint=tracing.endpoint, instrument=(), baggage_hosts=allowed)
    with qualitrace.session("s1"):
        assert ("baggage" in headers_for(host, port, {})) is gets


@pytest.mark.parametrize("wrong", ["*", "http://orders.internal", "orders.internal/api", "a b", "*.*"])
def test_a_host_that_is_none(tracing: Any, caplog: pytest.LogCaptureFixture, wrong: str) -> None:
    """What names no hosts, or all of them, is refused with a line that shows the forms."""
    qualitrace.shutdown()
    qualitrace.init(endpoint=tracing.endpoint, instrument=(), baggage_hosts=[wrong])
    assert "baggage_hosts is ignored" in caplog.text
    assert "must be hosts such as orders.internal, *.internal or 127.0.0.1:8000" in caplog.text
