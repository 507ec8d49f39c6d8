"""What every door checks before and while it reads a request: who sends it, how large it is, how long it takes."""

import asyncio
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from qualitrace_collector.config.values import split_address
from qualitrace_collector.http_server.browsers import BrowserGuard, is_loopback
from qualitrace_collector.receive.errors import (
    ForeignOrigin,
    Misdirected,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
    Undecodable,
)
from qualitrace_collector.receive.settings import ItemLimits, OtlpToken, ReceiveConfig
from qualitrace_collector.receive.turns import Turns


class Tokens:
    """The accepted tokens, as digests; without any, everybody may send."""

    def __init__(self, tokens: Iterable[OtlpToken]) -> None:
        # The digests have no salt: tokens are random, and a slow hash would delay each request.
        self._tenants = {token.digest: token.tenant for token in tokens}
        self._has_tenants = any(self._tenants.values())

    @property
    def required(self) -> bool:
        """Whether a sender needs a token."""
        return bool(self._tenants)

    def tenant_of(self, authorization: str) -> str | None:
        """Check the `Authorization` header (empty if there is none) and return the tenant of the sender's traces.

        Returns:
            The token's tenant, an empty text for a token without one; None if no token has one.

        Raises:
            Unauthenticated: the header holds none of the tokens.
        """
        if not self._tenants:
            return None
        scheme, _, token = authorization.partition(" ")
        given = hashlib.sha256(token.strip().encode()).digest()
        # Every digest is compared, each in constant time, so that the time reveals nothing about them.
        found = [digest for digest in self._tenants if hmac.compare_digest(digest, given)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthenticated("send 'Authorization: Bearer TOKEN' with a token of this collector (otlp.tokens)")
        return (self._tenants[found[0]] or "") if self._has_tenants else None


# Counts that many bytes more for a request; raises Unavailable if all requests together hold too much.
AddBytes = Callable[[int], None]


class RequestMemory:
    """Bounds the bytes that all requests under way hold. Thread-safe.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def hold(self) -> "HeldMemory":
        """Return the share of one request, which is empty yet."""
        return HeldMemory(self)

    def take(self, size: int, share: int) -> None:
        """Count `size` bytes more for a request that holds `share` bytes.

        Raises:
            Unavailable: all requests together would hold too much.
        """
        with self._lock:
            # A request that is alone may exceed the limit: otherwise it could never be sent.
            if self._held > share and self._held + size > self._limit:
                raise Unavailable(f"requests under way hold {self._held} bytes already (otlp.max_memory)", "busy")
            self._held += size

    def give_back(self, size: int) -> None:
        """Count that many bytes less."""
        with self._lock:
            self._held -= size


class HeldMemory:
    """What one request holds. As a context manager it gives `add`, and releases everything at the end."""

    def __init__(self, memory: RequestMemory) -> None:
        self._memory = memory
        self._share = 0

    def add(self, size: int) -> None:
        """Count that many bytes more.

        Raises:
            Unavailable: all requests together would hold too much.
        """
        self._memory.take(size, self._share)
        self._share += size

    def release(self) -> None:
        """Give all of it back. Safe twice."""
        self._memory.give_back(self._share)
        self._share = 0

    def __enter__(self) -> AddBytes:
        return self.add

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class DoorGuard:
    """The limits that all doors share.

    Attributes:
        tokens: who may send.
        memory: bytes of requests under way.
        body_timeout: seconds from the end of a request's head to the end of its body.
        max_bytes: size of a request, both as sent and decompressed.
        feedback_rate: how much feedback one sender may give, such as `60/minute`.
        allowed_origins: of web pages that may send over HTTP.
        browsers: refuses other pages, and hosts that are not served.
        limits: what a request may hold.
        turns: between the requests of all doors.
    """

    tokens: Tokens
    memory: RequestMemory
    body_timeout: float
    max_bytes: int
    feedback_rate: str
    allowed_origins: tuple[str, ...]
    browsers: BrowserGuard
    limits: ItemLimits
    turns: Turns

    @classmethod
    def of(cls, config: ReceiveConfig) -> "DoorGuard":
        """Make the guard of a configuration."""
        listen, otlp = config.listen, config.otlp
        host = split_address(listen.otlp_http)[0]
        # Elsewhere than on loopback senders may call it by any name, such as a container's.
        hosts = (host, *listen.allowed_hosts) if is_loopback(host) or listen.allowed_hosts else None
        return cls(
            tokens=Tokens(otlp.tokens),
            memory=RequestMemory(otlp.max_memory),
            body_timeout=otlp.body_timeout,
            max_bytes=listen.max_request_size,
            feedback_rate=otlp.feedback_rate,
            allowed_origins=otlp.allowed_origins,
            browsers=BrowserGuard(hosts, otlp.allowed_origins),
            limits=otlp.limits,
            turns=Turns(),
        )

    def check_browser(self, request: Request) -> None:
        """Refuse what a web page of another site sends over HTTP.

        Raises:
            Misdirected: the Host header names a host that is not served.
            ForeignOrigin: the page's origin is not allowed.
        """
        refusal = self.browsers.refusal(request.headers)
        if refusal is not None:
            raise (Misdirected if refusal.status == Misdirected.http_status else ForeignOrigin)(refusal.text)

    async def read_body(self, request: Request, add_bytes: AddBytes, max_bytes: int) -> bytes:
        """Return the body of an HTTP request as it was sent.

        Raises:
            TooLarge: it has more than `max_bytes`.
            TooSlow: it does not end in time.
            Unavailable: there is no memory for it.
            Undecodable: the client went away.
        """
        chunks: list[bytes] = []
        left = max_bytes
        try:
            async with asyncio.timeout(self.body_timeout):
                async for chunk in request.stream():
                    left -= len(chunk)
                    if left < 0:
                        raise TooLarge(max_bytes)
                    add_bytes(len(chunk))
                    chunks.append(chunk)
        except ClientDisconnect as error:
            raise Undecodable("the client went away before the end of the body") from error
        except TimeoutError as error:
            raise TooSlow(self.body_timeout) from error
        return b"".join(chunks)
