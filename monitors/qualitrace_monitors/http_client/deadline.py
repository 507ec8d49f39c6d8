"""An HTTP client whose calls end within a total time.

httpx's timeouts are those of single reads: a server that sends a byte a second would hold a call for hours. Here every
read gets what is left of the call's time.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from qualitrace_monitors.http_client.address_guard import Guard


class DeadlineClient(httpx.Client):
    """An httpx client that follows no redirects. Thread-safe.

    Args:
        timeout: seconds that a call may take, from the connection to the last byte that is read of its answer.
        guard: says to which addresses of a host a call may go; None for any. It is not asked where a proxy of the
            environment is used: the proxy resolves names.
    """

    def __init__(self, timeout: float, guard: Guard | None = None) -> None:
        super().__init__(timeout=timeout, follow_redirects=False)
        self._seconds = timeout
        self._deadline = _Deadline()
        for transport in (self._transport, *self._mounts.values()):  # those of proxies as well
            if isinstance(transport, httpx.HTTPTransport):  # httpx has no public way to give it a backend
                backend = _Backend(self._deadline, guard if transport is self._transport else None)
                pool = transport._pool  # pyright: ignore[reportPrivateUsage]
                pool._network_backend = backend  # pyright: ignore[reportPrivateUsage]

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request; its time begins now."""
        self._deadline.end = time.monotonic() + self._seconds
        return super().send(request, **options)


class _Deadline(threading.local):
    """When the call of this thread must have ended, by the steady clock."""

    end = float("inf")

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """Return the seconds that a step may take.

        Raises:
            error: there are none.
        """
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise error("the answer did not end in time")
        return seconds if timeout is None else min(timeout, seconds)


class _Stream(httpcore.NetworkStream):
    """A connection whose steps end at the deadline; see `httpcore.NetworkStream`."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, timeout: float | None = None, **named: Any) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(*args, timeout=left, **named), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Makes connections whose steps end at the deadline; see `httpcore.NetworkBackend`."""

    def __init__(self, deadline: _Deadline, guard: Guard | None) -> None:
        self._deadline = deadline
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = [host] if self._guard is None else self._guard(host, port)
        for number, address in enumerate(addresses, start=1):
            left = self._deadline.left(timeout, httpcore.ConnectTimeout)
            try:
                return _Stream(super().connect_tcp(address, port, left, local_address, socket_options), self._deadline)
            except httpcore.ConnectError:
                if number == len(addresses):
                    raise
        raise httpcore.ConnectError(f"{host} has no address")
