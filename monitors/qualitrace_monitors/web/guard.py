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
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # With no-referrer, browsers hide the origin of the pages' own forms, too.
    "Referrer-Policy": "same-origin",
}
PROBES = ("/healthz", "/readyz")
"""Answered without a token, and by an IP address: they say nothing but how this server is."""

METHODS = ("GET", "HEAD", "POST")


class WebGuard:
    """ASGI middleware that refuses what does not belong here and adds the security headers to every answer.

    Args:
        app: what answers the requests that pass.
        hosts: host names, beside loopback's, that may stand in the Host header; without ports.
        token: what `Authorization` must carry, as Bearer or as the password of Basic; None asks for nothing.
        read_token: another one, with which a reader may look at everything and change nothing.

    What answers finds in the request's state whether it `may_act`, that is, may post.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str | None, read_token: str | None = None) -> None:
        self._app = app
        self._browsers = BrowserGuard(hosts, None)
        self._token, self._read_token = (None if each is None else _digest(each) for each in (token, read_token))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        may_act = self._token is None or self._carries(scope, self._token)
        scope.setdefault("state", {})["may_act"] = may_act
        answer = self._refusal(scope, may_act) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope, may_act: bool) -> PlainTextResponse | None:
        # Kubernetes asks by the pod's address, which is not known in advance. DNS rebinding needs a name.
        is_probe = scope["path"] in PROBES
        if refusal := self._browsers.refusal(Headers(scope=scope), any_address=is_probe):
            return _refuse(refusal.status, refusal.text)
        if scope["method"] not in METHODS:
            return _refuse(405, f"only {', '.join(METHODS)} are answered here", ("Allow", ", ".join(METHODS)))
        if is_probe or may_act:
            return None
        if self._read_token is None or not self._carries(scope, self._read_token):
            basic = 'Basic realm="qualitrace", charset="UTF-8"'
            return _refuse(
                401,
                "send listen.web_token as a Bearer token, or as the password of Basic authentication",
                ("WWW-Authenticate", 'Bearer realm="qualitrace"'),
                ("WWW-Authenticate", basic),
            )
        if scope["method"] == "POST":
            return _refuse(403, "listen.web_read_token may read alone: send listen.web_token")
        return None

    @staticmethod
    def _carries(scope: Scope, token: bytes) -> bool:
        """Whether the request carries the token whose digest is `token`."""
        given = _token_in(Headers(scope=scope).get("authorization", ""))
        # Digests are equally long, so the time of the comparison does not depend on the token.
        return given != "" and hmac.compare_digest(_digest(given), token)


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
