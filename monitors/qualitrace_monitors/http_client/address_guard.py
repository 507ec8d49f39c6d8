"""Which addresses a receiver may be at: a name must not lead into this host, or to a cloud's metadata.

The operator writes names and addresses, so private networks are allowed, and loopback where the configuration itself
says so. What a name resolves to is decided by others (DNS rebinding). The connection is made to the address that was
looked at.
"""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore

LOOPBACK_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")

# Services inside of clouds that give credentials to whoever asks, where they are not link-local.
_METADATA = tuple(
    map(
        ip_network,
        (
            "fd00:ec2::/32",  # AWS
            "fd20:ce::254/128",  # Google Cloud
            "100.100.100.200/32",  # Alibaba Cloud
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle Cloud
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_THIS_HOST = ip_network("0.0.0.0/8")  # Linux connects to itself

Address = IPv4Address | IPv6Address
Guard = Callable[[str, int], list[str]]
"""Returns the IP addresses of a host and port to connect to; raises `AddressRefused` if none is allowed."""


class AddressRefused(httpcore.ConnectError):
    """A host has no address that is allowed; the message names it, and the remedy."""


def refusal(host: str, address: Address) -> str:
    """Say why a host of the configuration may not be at `address`; empty if it may.

    Args:
        host: as the configuration has it, without brackets.
    """
    real = _unwrapped(address)
    if real.is_link_local:
        return "link-local"
    if any(real in network for network in _METADATA):
        return "a cloud's metadata service"
    if real.is_unspecified or real in _THIS_HOST:
        return "this host"
    if real.is_loopback and not names_loopback(host):
        return "loopback"
    return ""


def names_loopback(host: str) -> bool:
    """Whether the configuration itself says that the host is this one."""
    literal = literal_address(host)
    if literal is not None:
        return _unwrapped(literal).is_loopback
    name = host.lower().rstrip(".")
    return name in LOOPBACK_NAMES or name.endswith(".localhost")


def literal_address(host: str) -> Address | None:
    """Return the IP address that `host` is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if not isinstance(address, IPv6Address):
        return address
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):  # ::127.0.0.1, but not ::1
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def refused_literal(host: str) -> str:
    """Say why a host that is an IP address is not allowed; empty for a name, which DNS has to be asked for."""
    literal = literal_address(host)
    return "" if literal is None else refusal(host, literal)


def guarded(host: str, port: int) -> list[str]:
    """Resolve `host`; return those of its addresses that are allowed. See `Guard`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    refused = {text: why for text in addresses if (why := refusal(host, ip_address(text)))}
    if allowed := [text for text in addresses if text not in refused]:
        return allowed
    text, why = next(iter(refused.items()))
    raise AddressRefused(
        f"{host} is at {text}, which is {why}: name this host literally (127.0.0.1), or set allow_local: true"
        if why == "loopback"
        else f"{host} is at {text}, which is {why}: set allow_local: true if that is meant"
    )
