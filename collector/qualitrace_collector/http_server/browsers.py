"""Keeps web pages of other sites away from a port that a browser on this host, or in this network, can reach.

A page can make a browser send requests to loopback; the Origin header then names the page's site. DNS rebinding even
lets it read the answers, and sends no Origin that differs, but the Host header then names the other site.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers

from qualitrace_collector.config.values import LOOPBACK

_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound; a client that connects to it reaches loopback
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered: an HTTP status and what the answer says."""

    status: int
    text: str


class BrowserGuard:
    """Checks Host and Origin.

    Args:
        hosts: host names, beside loopback's, that may stand in the Host header;
            without ports. None lets every name pass.
        origins: those of the pages that may send requests, such as `https://shop.example`; None for the port's own.
    """

    def __init__(self, hosts: Iterable[str] | None, origins: Iterable[str] | None) -> None:
        self._hosts = None if hosts is None else {_without_root(host.lower()) for host in (*LOOPBACK, *hosts)}
        self._origins = None if origins is None else {origin.lower() for origin in origins}

    def refusal(self, headers: Headers, *, any_address: bool = False) -> Refusal | None:
        """Return why a request is refused; None lets it pass. `any_address` serves every IP address as a host."""
        host = headers.get("host", "")
        if not self._serves(headers.getlist("host"), any_address):
            return Refusal(421, f"{host!r} is not served here: add its name to listen.allowed_hosts")
        for origin in headers.getlist("origin"):
            if origin.lower() not in self._origins_at(host):
                return Refusal(403, f"requests from {origin!r} are not answered")
        return None

    def _serves(self, hosts: list[str], any_address: bool) -> bool:
        if self._hosts is None or not hosts:  # probes by HTTP/1.0 may send no Host; browsers always do
            return True
        match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if match is None:
            return False
        name = _without_root(match.group(1).strip("[]").lower())
        return name in self._hosts or name in _ANY_ADDRESS or is_loopback(name) or (any_address and _is_address(name))

    def _origins_at(self, host: str) -> Iterable[str]:
        if self._origins is None:
            return f"http://{host}".lower(), f"https://{host}".lower()
        return self._origins


def _without_root(name: str) -> str:
    """Return a host's name without the dot that may end it: `localhost.` is `localhost`, whatever is searched for."""
    return name.removesuffix(".")


def is_loopback(name: str) -> bool:
    """Whether a name or address means this host itself, whatever a DNS server says."""
    if name.lower() in LOOPBACK:
        return True
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
