"""Whether an endpoint is the server itself, by whatever name."""

import socket
from collections.abc import Collection, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Any

from pydantic import AnyHttpUrl

from qualitrace_collector.config.section import Mistake
from qualitrace_collector.config.values import split_address


def loops(data: Any, doors: dict[str, str]) -> Iterator[Mistake]:
    """Yield that `telemetry.endpoint` of the raw configuration leads back to one of the server's own ports.

    Args:
        doors: names of the addresses in `listen`, and what they are by default.
    """
    telemetry, listen = (data.get(name) if isinstance(data, dict) else None for name in ("telemetry", "listen"))
    endpoint = telemetry.get("endpoint") if isinstance(telemetry, dict) else None
    if not isinstance(endpoint, str):
        return
    given = listen if isinstance(listen, dict) else {}
    names = given.get("allowed_hosts")
    names = [str(name).lower() for name in names] if isinstance(names, (list, tuple)) else []
    try:
        url = AnyHttpUrl(endpoint)  # as it is sent to: urlsplit would read `\\` and `%2e` otherwise
        host, port = (url.host or "").strip("[]").rstrip("."), url.port or 0
        ports = {split_address(str(given.get(door, default)))[1]: door for door, default in doors.items()}
    except ValueError:  # the field's own validator reports it
        return
    if port in ports and _is_here(host, port, names):
        yield (
            ("telemetry", "endpoint"),
            f"is this server's own listen.{ports[port]}: each batch would make the next one; "
            "name another collector, or a backend",
        )


def _is_here(host: str, port: int, names: Collection[str]) -> bool:
    """Whether a host is this one: by its names in `allowed_hosts`, or by the addresses that it resolves to."""
    if host in names:
        return True
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # nobody can send there either
        return False
    return any(_is_own(str(entry[4][0])) for entry in found)


def _is_own(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        # Also without the family: a host may have no IPv6, and a systemd unit no network.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))  # only an address of this host can be bound
    except OSError:
        return False
    return True
