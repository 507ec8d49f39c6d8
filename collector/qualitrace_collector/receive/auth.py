"""Who sends: bearer tokens, the same on both doors (https://www.rfc-editor.org/rfc/rfc6750)."""

import hashlib
import hmac
from collections.abc import Iterable

from qualitrace_collector.config.otlp import OtlpToken
from qualitrace_collector.receive.errors import Unauthenticated


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
