"""Listening sockets, and errors that name the setting."""

import asyncio
import socket
import ssl
from collections.abc import Callable

from qualitrace_collector.config.values import split_address

BACKLOG = 2048
"""Connections that wait to be accepted; more are asked by the kernel to try again."""


ACCEPTED_AT_ONCE = 16
"""Connections that are accepted before the ones in excess can be closed: some rounds of them need descriptors."""


class ListenError(Exception):
    """An address cannot be listened on; the message names the setting, the address, the reason and the remedy."""


def listen(setting: str, address: str) -> socket.socket:
    """Listen on `address`, `host:port`, which `listen.<setting>` holds.

    Raises:
        ListenError: it is in use, not this host's, or not allowed.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # create_server appends the address to the text of the error.
        reason = (error.strerror or str(error)).partition(" (while")[0].lower()
        raise ListenError(
            f"{setting} {address}: {reason}; stop what uses it, or give an address of this host by listen.{setting}"
        ) from error


async def accept_connections(
    listener: socket.socket,
    make_connection: Callable[[], asyncio.BaseProtocol],
    tls: ssl.SSLContext | None,
    handshake_timeout: float,
) -> asyncio.Server:
    """Take connections; each of them has `handshake_timeout` seconds for TLS, where asyncio leaves them 60."""
    server = await asyncio.get_running_loop().create_server(
        make_connection,
        sock=listener,
        ssl=tls,
        ssl_handshake_timeout=handshake_timeout if tls else None,
        backlog=ACCEPTED_AT_ONCE,  # asyncio accepts as many in a row as may wait
    )
    listener.listen(BACKLOG)
    return server
