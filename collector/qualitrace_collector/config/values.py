"""Field types of the configuration that pydantic lacks: durations, host:port addresses, names."""

import ipaddress
import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

import durationpy
from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
)

from qualitrace_collector.masking import masked, remember_secret

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST_SECONDS = 100 * 365.25 * 86_400


_DURATION = re.compile(r"0|[+-]?([0-9.]+[a-zµμ]+)+")


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("must be a duration such as 30s, 5m, 1h or 1d")
    if isinstance(value, (int, float)):
        return float(value) if abs(value) < LONGEST_SECONDS else math.inf
    if isinstance(value, timedelta):
        return value.total_seconds()
    try:
        if not _DURATION.fullmatch(str(value)):  # durationpy skips what it does not know
            raise durationpy.DurationError
        return durationpy.from_str(str(value)).total_seconds()
    except durationpy.DurationError:
        raise ValueError(f"must be a duration such as 30s, 5m, 1h or 1d (got {value!r})") from None


def amount_text(value: float, digits: int = 4) -> str:
    """Write a number with at most that many significant digits and without an exponent: `2,500,000`, `0.00012`."""
    return f"{Decimal(f'{value:.{digits}g}'):,f}"


def duration_text(seconds: float) -> str:
    """Write a duration as the configuration has it: `5m`, `1h30m`, `30d`."""
    days, rest = divmod(seconds, 86_400)
    shown = durationpy.to_str(timedelta(seconds=rest)) if rest or not days else ""
    return f"{days:.0f}d{shown}" if days else shown


def _bounded(value: float) -> float:
    if value < 0:
        raise ValueError(f"must not be negative (got {value:g} s)")
    if not value < LONGEST_SECONDS:  # NaN too
        raise ValueError("must be a duration of less than 100 years")
    return value


_HOST = re.compile(r"[A-Za-z0-9._-]+")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if _is_ipv6(host) or _is_ipv6(value):
        suggestion = f"[{host}]:{port}" if _is_ipv6(host) else f"[{value}]:PORT"
        raise ValueError(f"an IPv6 address stands in brackets: write {suggestion} (got {value!r})")
    bracketed = host.startswith("[") and host.endswith("]")
    is_host = _is_ipv6(host[1:-1]) if bracketed else _HOST.fullmatch(host)
    if not is_host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"must be HOST:PORT, for example 127.0.0.1:4318 or [::1]:4318 (got {value!r})")
    return value


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port` (an IPv6 host stands in brackets) into host without brackets and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound


def connect_address(address: str) -> tuple[str, int]:
    """Return the host and port at which this host reaches what listens on `address`."""
    host, port = split_address(address)
    return _ANY.get(host, host), port


_TRACKING_URI = re.compile(r"(sqlite(\+\w+)?:///|postgresql(\+\w+)?://|https?://).+")


def _tracking_uri(value: str) -> str:
    if value and not _TRACKING_URI.fullmatch(value):
        shown = masked(value)
        given = "" if "@" in shown else f" (got {shown!r})"  # a URI of a wrong form may hold a password in any place
        raise ValueError(
            "must begin with sqlite:///, postgresql://, http:// or https://; other databases are reached through "
            f"an MLflow server{given}"
        )
    check_credentials(value)
    return value


def check_credentials(uri: str) -> None:
    """Hide the passwords of MLflow's URI from now on.

    Raises:
        ValueError: MLflow would read another host or password in it than was meant.
    """
    if "://" not in uri or uri.startswith("sqlite"):
        return
    try:
        if uri.startswith("http"):
            address = urlsplit(uri)
            host, passwords = address.hostname if address.port != 0 else "", [address.password]
        else:
            from sqlalchemy import make_url  # its import takes a moment, which few configurations need wait for

            database = make_url(uri)
            host, passwords = database.host, [database.password, database.query.get("password")]
    except Exception:  # ValueError or one of SQLAlchemy's, whose texts may hold a part of the password
        host, passwords = "@", []
    for password in passwords:
        if isinstance(password, str):
            remember_secret(password)
    if "@" in (host or ""):
        raise ValueError(
            "cannot be read as a URI: write special characters of user and password in percent-encoding (%40 for @, "
            "%2F for /, %3A for :), and several hosts of PostgreSQL as ?host=A:5432&host=B:5432"
        )


def _header_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text:
        raise ValueError("is empty: give the secret, or leave the key out")
    if not all("!" <= character <= "~" for character in text):
        raise ValueError(
            "must be ASCII without blanks and line ends, as `openssl rand -hex 32` prints, because it is sent in an "
            "HTTP header"
        )
    return secret


_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")


def _identifier(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(f"must be letters, digits, '_' or '-', starting with a letter (got {value!r})")
    return value


# Seconds; written as a number or in Go's duration form (`1h30m`).
_FORMS = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^(0|([0-9.]+[a-zµμ]+)+)$"}]
_Written = Annotated[Any, WithJsonSchema({"anyOf": _FORMS})]
Duration = Annotated[
    float,
    BeforeValidator(_seconds, json_schema_input_type=_Written),
    AfterValidator(_bounded),
    PlainSerializer(float),
]

# `host:port`.
Address = Annotated[str, WithJsonSchema({"type": "string", "pattern": ":[0-9]{1,5}$"}), AfterValidator(_address)]

# A token or key that is sent in an HTTP header: every client can send it, and every server takes it.
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_secret)]

# Where MLflow is: a kind of place that qualitrace is tested with, or empty.
TrackingUri = Annotated[str, AfterValidator(_tracking_uri)]

# A name that becomes a Prometheus label value, an assessment name or a file name.
Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=60),
    WithJsonSchema({"type": "string", "pattern": f"^{_LABEL.pattern}$", "maxLength": 60}),
    AfterValidator(_identifier),
]
