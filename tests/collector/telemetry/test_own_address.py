"""`telemetry.endpoint` may not be the server itself, by whatever name; other ports and hosts may be it."""

import errno
import os
import socket
from typing import Any

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_monitors.config import Config

ALLOWED = {"allowed_hosts": ["Traces.example"]}
ELSEWHERE = {"otlp_http": "127.0.0.1:80", "web": "127.0.0.1:443"}


@pytest.mark.parametrize(
    ("host", "port", "door", "listen"),
    [
        *((host, 4318, "otlp_http", {}) for host in ("127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1")),
        *((host, 4318, "otlp_http", {}) for host in ("[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "2130706433")),
        *((host, 4318, "otlp_http", {}) for host in ("localhost%2e", "127%2e0.0.1")),
        (socket.gethostname(), 4318, "otlp_http", {}),
        ("localhost", 4317, "otlp_grpc", {}),
        ("localhost", 9464, "web", {}),
        ("traces.example", 4318, "otlp_http", ALLOWED),
        ("localhost", None, "otlp_http", ELSEWHERE),
        ("127.0.0.1", 5000, "otlp_http", {"otlp_http": "127.0.0.1:5000"}),
    ],
)
def test_the_server_itself_is_refused(host: str, port: int | None, door: str, listen: dict[str, Any]) -> None:
    """By every name of the host, at each of its ports, also one that the scheme means."""
    endpoint = f"http://{host}" + (f":{port}" if port else "")
    with pytest.raises(ConfigError) as error:
        parse_config({"telemetry": {"endpoint": endpoint}, "listen": listen}, Config)
    (mistake,) = error.value.mistakes
    assert mistake.startswith(f"telemetry.endpoint: is this server's own listen.{door}")


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]"])
def test_a_process_without_a_network_reads_the_configuration(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the unit that makes backups, which may use Unix sockets alone, and any process on a host without IPv6."""

    def refused(*_: Any) -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", refused)
    config = parse_config({"telemetry": {"endpoint": f"http://{host}:4318"}}, Config)
    assert config.telemetry.endpoint is not None


def test_what_follows_a_backslash_is_a_path() -> None:
    """As the client reads it; to a parser of another kind this is another host."""
    with pytest.raises(ConfigError, match=r"this server's own listen\.otlp_http"):
        parse_config({"telemetry": {"endpoint": "http://127.0.0.1:4318\\@example.com"}}, Config)


@pytest.mark.parametrize(
    ("endpoint", "listen"),
    [
        ("http://127.0.0.1:4319", {}),
        ("http://192.0.2.1:4318", {}),  # of a network that no host is in
        ("http://otelcol.invalid:4318/otlp", {}),
        ("http://127.0.0.1:4318", {"otlp_http": "127.0.0.1:5000"}),
        ("https://traces.example", ALLOWED),
    ],
)
def test_others_are_not(endpoint: str, listen: dict[str, Any]) -> None:
    """Another port of this host, and the same port of another."""
    config = parse_config({"telemetry": {"endpoint": endpoint}, "listen": listen}, Config)
    assert str(config.telemetry.endpoint).rstrip("/") == endpoint


@pytest.mark.parametrize(
    "url", ["http://a:hunter2@b.invalid", "http://b.invalid?key=hunter2", "http://b.invalid/#hunter2"]
)
def test_a_url_holds_no_secret(url: str) -> None:
    """The page Operation and the log show it; the mistake does not."""
    with pytest.raises(ConfigError, match="credentials go into headers") as error:
        parse_config({"telemetry": {"endpoint": url}}, Config)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ("authorization=Bearer abc=, X-Team=search", {"authorization": "Bearer abc=", "x-team": "search"}),
        ("a=b%2Cc", {"a": "b,c"}),
        ("authorization: Bearer abc", None),
        ("a=b,,", None),
        ("a=ü", None),
    ],
)
def test_headers_are_read_as_opentelemetry_reads_them(headers: str, read: dict[str, str] | None) -> None:
    """What it would leave out without a word is a mistake, which does not show the secret."""
    raw = {"telemetry": {"endpoint": "http://otelcol.invalid", "headers": headers}}
    if read is not None:
        assert parse_config(raw, Config).telemetry.sent_headers == read
        return
    with pytest.raises(ConfigError, match=r"telemetry\.headers: must read like NAME=VALUE") as error:
        parse_config(raw, Config)
    assert headers not in str(error.value)
