"""Sends one request of a judge: within a total time, a total size, and to no other address than the configured one.

httpx's timeouts are those of single reads: a server that sends a byte a second would hold a call for hours. Here every
read gets what is left of the call's time.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from qualitrace_collector.receive.decode import TooLarge, Undecodable, decompress
from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError
from qualitrace_monitors.judges.failures import http_failure, message_of

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes of the longest answer that is read, on the wire and decompressed: a verdict has a few hundred."""
LARGEST_REFUSAL = 64 * 1024
"""Bytes that are read of an answer that is no success: its message is at the beginning."""

_MOVED_FOR_GOOD = (301, 308)
_MOVED_FOR_NOW = (302, 303, 307)  # a sign-in page, a captive portal, maintenance


class ChatRequest(NamedTuple):
    """One request with a JSON body; `auth` proves who asks if the headers do not."""

    url: str
    headers: dict[str, str]
    body: Any
    auth: httpx.Auth = httpx.Auth()


class Answer(NamedTuple):
    """An HTTP answer; of one that is no success, the beginning of the body."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body, as far as it is UTF-8."""
        return self.body.decode(errors="replace")


class Sender:
    """Sends requests to a provider. Thread-safe.

    Args:
        name: of the provider, for errors.
        timeout: seconds that a call may take, from the connection to the last byte.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self._name, self._timeout = name, timeout
        self._deadline = _Deadline()
        self._client = httpx.Client(timeout=timeout, follow_redirects=False)
        transports = [self._client._transport, *self._client._mounts.values()]  # pyright: ignore[reportPrivateUsage]
        for transport in transports:  # those of proxies as well; httpx has no public way to give them a backend
            if isinstance(transport, httpx.HTTPTransport):
                pool = transport._pool  # pyright: ignore[reportPrivateUsage]
                pool._network_backend = _Backend(self._deadline)  # pyright: ignore[reportPrivateUsage]

    def post(self, request: ChatRequest, address_setting: str) -> Answer:
        """Send a request once; return what the provider answered, success or not.

        Args:
            address_setting: what sets the provider's address, for the error about one that has moved.

        Raises:
            TransientJudgeError: the provider is out of reach, too slow, or sends callers elsewhere for now.
            JudgeError: its address is not valid, has moved for good, or its answer is too large.
        """
        url, headers, content, auth = request
        headers = {**headers, "Accept-Encoding": "identity"}
        self._deadline.end = time.monotonic() + self._timeout
        try:
            with self._client.stream("POST", url, headers=headers, json=content, auth=auth) as response:
                if response.is_redirect:
                    raise self._moved(url, response, address_setting)
                return Answer(response.status_code, response.headers, self._body(response))
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise JudgeError(message_of(self._name, f"cannot ask {url}: {error}")) from error
        except httpx.RequestError as error:
            raise TransientJudgeError(message_of(self._name, f"{url} is out of reach: {error!r}")) from error

    def _body(self, response: httpx.Response) -> bytes:
        """Read a body, undoing the compression that was not asked for; of a refusal the beginning."""
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if not response.is_success and len(body) >= LARGEST_REFUSAL:
                return bytes(body[:LARGEST_REFUSAL])
            if len(body) > LARGEST_BODY:
                raise self._too_large()
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        try:
            return decompress(bytes(body), encoding, LARGEST_BODY)
        except TooLarge:
            raise self._too_large() from None
        except Undecodable as error:
            raise TransientJudgeError(f"{self._name}: the response's {error}") from error

    def _too_large(self) -> JudgeError:
        return JudgeError(f"{self._name}: the response is larger than {LARGEST_BODY >> 20} MiB")

    def _moved(self, url: str, response: httpx.Response, address_setting: str) -> JudgeError:
        """Return the error for a redirect, which would take keys and judged texts to another host."""
        status, place = response.status_code, _without_secrets(urljoin(url, response.headers["location"]))
        told = f"{_without_secrets(url)} sends callers to {place}, and is not followed"
        message = message_of(f"{self._name}: HTTP {status}", told)
        if status in _MOVED_FOR_NOW:
            return TransientJudgeError(message)
        if status in _MOVED_FOR_GOOD:
            return JudgeError(f"{message}; if that is the provider's, set {address_setting} to it")
        return http_failure(message, status, response.headers)


def _without_secrets(url: str) -> str:
    """Return the beginning of an address without what may be secret: user and password, query, fragment."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]
    except ValueError:
        return "an address that is not valid"


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

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self._deadline)
