"""Who may read the web port: the right host, the right origin, the right token; and how browsers must treat it."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qualitrace_collector.http_server.browsers import BrowserGuard

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PROBES = ("/healthz", "/readyz")
"""Answered without a token, and by an IP address: they say nothing but how this server is."""

RELOAD = "/-/reload"
"""Where POST asks for the configuration to be read anew; everything else is read by GET and HEAD."""


class WebGuard:
    """ASGI middleware that refuses what does not belong here and adds the security headers to every answer.

    Args:
        app: what answers the requests that pass.
        hosts: host names, beside loopback's, that may stand in the Host header; without ports.
        token: what `Authorization` must carry, as Bearer or as the password of Basic; None asks for nothing.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str | None) -> None:
        self._app = app
        self._browsers = BrowserGuard(hosts, None)
        self._token = None if token is None else _digest(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        # Kubernetes asks by the pod's address, which is not known in advance. DNS rebinding needs a name.
        if refusal := self._browsers.refusal(headers, any_address=scope["path"] in PROBES):
            return _refuse(refusal.status, refusal.text)
        allowed = ("POST",) if scope["path"] == RELOAD else ("GET", "HEAD")
        if scope["method"] not in allowed:
            return _refuse(405, f"only {' and '.join(allowed)} are answered here", ("Allow", ", ".join(allowed)))
        if scope["path"] not in PROBES and not self._knows(headers.get("authorization", "")):
            basic = 'Basic realm="qualitrace", charset="UTF-8"'
            return _refuse(
                401,
                "send listen.web_token as a Bearer token, or as the password of Basic authentication",
                ("WWW-Authenticate", 'Bearer realm="qualitrace"'),
                ("WWW-Authenticate", basic),
            )
        return None

    def _knows(self, authorization: str) -> bool:
        if self._token is None:
            return True
        given = _token_in(authorization)
        # Digests are equally long, so the time of the comparison does not depend on the token.
        return given != "" and hmac.compare_digest(_digest(given), self._token)


def _token_in(authorization: str) -> str:
    """Return the Bearer token or the Basic password in a header; empty if there is none."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        pair = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return pair.partition(":")[2]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _refuse(status: int, text: str, *headers: tuple[str, str]) -> PlainTextResponse:
    response = PlainTextResponse(text + "\n", status)
    for name, value in headers:
        response.headers.append(name, value)
    return response
