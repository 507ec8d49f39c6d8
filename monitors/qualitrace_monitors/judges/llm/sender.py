"""Sends one request of a judge: within a total time, a total size, and to no other address than the configured one."""

from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx

from qualitrace_collector.receive.decode import TooLarge, Undecodable, decompress
from qualitrace_monitors.http_client.deadline import DeadlineClient
from qualitrace_monitors.judges.contract import JudgeError, TransientJudgeError
from qualitrace_monitors.judges.failures import http_failure, message_of

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes of the longest answer that is read, on the wire and decompressed: a verdict has a few hundred."""
LARGEST_REFUSAL = 64 * 1024
"""Bytes that are read of an answer that is not a success: its message is at the beginning."""

_MOVED_FOR_GOOD = (301, 308)
_MOVED_FOR_NOW = (302, 303, 307)  # a sign-in page, a captive portal, maintenance


class ChatRequest(NamedTuple):
    """One request with a JSON body; `auth` proves who asks if the headers do not."""

    url: str
    headers: dict[str, str]
    body: Any
    auth: httpx.Auth = httpx.Auth()


class Answer(NamedTuple):
    """An HTTP answer; of one that is not a success, the beginning of the body."""

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
        self._name = name
        self._client = DeadlineClient(timeout)

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
        location = response.headers.get("location")
        status, place = response.status_code, _without_secrets(urljoin(url, location)) if location else "another place"
        reason = f"{_without_secrets(url)} sends callers to {place}, and is not followed"
        message = message_of(f"{self._name}: HTTP {status}", reason)
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
