"""What both doors ask before and while they read a request: who sends it, how large, how fast."""

import hashlib
import hmac
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from qualitrace_collector.receive.errors import Refused, Unauthenticated
from qualitrace_collector.receive.settings import OtlpToken, ReceiveConfig


class Tokens:
    """The tokens that are taken, as digests; without any, everybody may send."""

    def __init__(self, tokens: Iterable[OtlpToken]) -> None:
        self._tenants = {token.digest: token.tenant for token in tokens}
        self._has_tenants = any(self._tenants.values())

    @property
    def required(self) -> bool:
        """Whether a sender needs a token."""
        return bool(self._tenants)

    def tenant_of(self, authorization: str) -> str | None:
        """Check the `Authorization` header (empty if there is none) and return whose traces the sender's are.

        Returns:
            The token's tenant, an empty text for a token without one; None if no token has one.

        Raises:
            Unauthenticated: it carries none of the tokens.
        """
        if not self._tenants:
            return None
        scheme, _, token = authorization.partition(" ")
        given = hashlib.sha256(token.strip().encode()).digest()
        # Every digest is compared, each in constant time, so that the time tells nothing about them.
        found = [digest for digest in self._tenants if hmac.compare_digest(digest, given)]
        if scheme.lower() != "bearer" or not found:
            raise Unauthenticated("send 'Authorization: Bearer TOKEN' with a token of this collector (otlp.tokens)")
        return (self._tenants[found[0]] or "") if self._has_tenants else None


class RequestMemory:
    """Bounds the bytes of all requests that are under way. Thread-safe.

    Args:
        limit: bytes; a request that is alone may be larger, so that none is refused for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def hold(self) -> "Hold":
        """Begin to hold bytes for one request; they are given back at the end of the `with` block."""
        return Hold(self)

    def take(self, size: int, held: int) -> None:
        """Take `size` bytes for a request that holds `held` of them already.

        Raises:
            Refused: the requests under way hold too much.
        """
        with self._lock:
            if self._held > held and self._held + size > self._limit:
                raise Refused(f"requests under way hold {self._held} bytes already (otlp.max_memory)", "busy")
            self._held += size

    def give_back(self, size: int) -> None:
        """Return what was taken."""
        with self._lock:
            self._held -= size


class Hold:
    """The bytes that one request holds."""

    def __init__(self, memory: RequestMemory) -> None:
        self._memory = memory
        self._size = 0

    def add(self, size: int) -> None:
        """Hold `size` bytes more.

        Raises:
            Refused: the requests under way hold too much.
        """
        self._memory.take(size, self._size)
        self._size += size

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._memory.give_back(self._size)


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits that both doors share.

    Attributes:
        tokens: who may send.
        memory: bytes of requests under way.
        body_timeout: seconds from the end of a request's head to the end of its body.
        max_bytes: size of a request, both as sent and decompressed.
        feedback_rate: how much feedback one sender may give.
    """

    tokens: Tokens
    memory: RequestMemory
    body_timeout: float
    max_bytes: int
    feedback_rate: str

    @classmethod
    def of(cls, config: ReceiveConfig) -> "Guard":
        """Make the guard that the configuration asks for."""
        otlp = config.otlp
        memory = RequestMemory(otlp.max_memory)
        return cls(Tokens(otlp.tokens), memory, otlp.body_timeout, config.listen.max_request_size, otlp.feedback_rate)
