"""The process that sends one notification by Apprise.

It reads an order from standard input and writes the outcome to standard output, both as JSON.

Whatever Apprise's plugins do, also after a redirect, they connect to no address where a receiver may not be: each
connection is looked at as it is made.
"""

import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from qualitrace_monitors.http_client.address_guard import names_loopback, refusal

SHORTEST_KEY = 6
"""Letters: a shorter part of a URL may be a word that stands in any sentence."""

_LOGGER = logging.getLogger("apprise")
_CONNECTS = ("socket.connect", "socket.sendto")


class Guard:
    """Refuses connections as an audit hook, which cannot be taken away again: for a process of its own.

    Args:
        hosts: those that the configuration names, and the proxies of the environment.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._named = next(filter(names_loopback, hosts), "")
        self.refused = ""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an event of the interpreter; see `sys.addaudithook`."""
        if event in _CONNECTS and isinstance(address := arguments[1], tuple):
            self.check(str(address[0]))

    def check(self, host: str) -> None:
        """Check the address of a connection.

        Raises:
            PermissionError: it is not allowed.
        """
        try:
            why = refusal(self._named, ip_address(host))
        except ValueError:
            why = "a name that was not resolved before"
        if why:
            self.refused = f"{host} is {why}; set allow_local: true if that is meant"
            raise PermissionError(self.refused)


def main() -> None:
    """Send what the order says; print whether it was taken and what was said."""
    order = json.load(sys.stdin)
    signal.alarm(int(order["seconds"]) + 1)  # whoever waits for this process may have ended
    with redirect_stdout(sys.stderr):
        outcome = _send(order)
    print(json.dumps(outcome))
    sys.stdout.flush()
    os._exit(0)  # plugins' threads are not waited for


def hosts_of(url: str) -> list[str] | None:
    """Return the hosts that a URL names: none where the service has its own; None if Apprise cannot read it."""
    _LOGGER.disabled = True  # it would log what it cannot read, with its keys
    from apprise import Apprise  # its import takes a moment, which few configurations need wait for

    plugin: Any = Apprise.instantiate(url, suppress_exceptions=True)
    if plugin is None:
        return None
    named = plugin.host if "host" in plugin.template_tokens else ""
    return [host for host in (named, getattr(plugin, "smtp_host", "")) if host]


def _send(order: dict[str, Any]) -> tuple[bool, str]:
    url = order["url"]
    hosts = hosts_of(url) or []
    guard = Guard([*hosts, *(urlsplit(proxy).hostname or "" for proxy in getproxies().values())])
    if not order["allow_local"]:
        sys.addaudithook(guard)
    from apprise import Apprise, LogCapture

    _LOGGER.disabled = False

    sender = Apprise()
    plugin: Any = Apprise.instantiate(url)
    if "overflow=" not in url:
        plugin.overflow_mode = "truncate"  # else what is longer than a service takes is refused, and never delivered
    sender.add(plugin)
    capture: Any = LogCapture(level=logging.INFO, fmt="%(levelname)s %(message)s")
    with capture as log:
        taken = bool(
            sender.notify(title=order["title"], body=order["body"], notify_type=order["type"], body_format="text")
        )
        lines = log.getvalue().splitlines()
    wanted = [line.partition(" ")[2] for line in lines if line.startswith("INFO") is taken]
    said = guard.refused or "; ".join(wanted[-3:]) or ("sent" if taken else "Apprise gave no reason")
    return taken, _without_keys(said, url, hosts)


def _without_keys(text: str, url: str, hosts: list[str]) -> str:
    """Return a text without the parts of a URL, its hosts aside: some are keys."""
    parts = {part for form in (url, unquote(url)) for part in re.split(r"[/:@?&=,#\s]+", form)} - {*hosts}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_KEY:
            text = text.replace(part, "***")
    return text


if __name__ == "__main__":
    main()
