"""HTTP clients send trace and session along. They make no spans.

Each hook is where a client writes one request to one host, so that a redirect to another host is decided again. The
app's own objects are left as they were.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import wrapt

from qualitrace.propagation.baggage import take_received
from qualitrace.quiet import never_raises

_WITH_SPANS = frozenset({"aiohttp-client", "httpx", "requests", "urllib", "urllib3"})


def start(libraries: Iterable[str]) -> None:
    """Let the HTTP clients that the app imports, now or later, send trace and session; safe twice.

    Args:
        libraries: names of those that are traced; clients may be among them.
    """
    take_received()
    for name in _WITH_SPANS.intersection(libraries):
        module = f"opentelemetry.instrumentation.{name.replace('-', '_')}"
        wrapt.register_post_import_hook(_leave_baggage_out, module)
    for module, name, wrapper in (
        ("http.client", "HTTPConnection.endheaders", _endheaders),  # urllib, urllib3, requests, botocore
        ("httpx", "HTTPTransport.handle_request", _handle),
        ("httpx", "AsyncHTTPTransport.handle_async_request", _handle_async),
        ("httpx2", "HTTPTransport.handle_request", _handle),
        ("httpx2", "AsyncHTTPTransport.handle_async_request", _handle_async),
        ("aiohttp.client_reqrep", "ClientRequest.send", _send),
    ):
        wrapt.register_post_import_hook(lambda found, name=name, wrapper=wrapper: _wrap(found, name, wrapper), module)


@never_raises
def _wrap(module: Any, name: str, wrapper: Any) -> None:
    kind, _, method = name.partition(".")
    if not isinstance(getattr(module, kind).__dict__.get(method), wrapt.FunctionWrapper):
        wrapt.wrap_function_wrapper(module, name, wrapper)


def _endheaders(wrapped: Any, connection: Any, args: Any, kwargs: Any) -> Any:
    _complete(connection)
    return wrapped(*args, **kwargs)


@never_raises
def _complete(connection: Any) -> None:
    lines: list[bytes] = connection._buffer
    names = [line.partition(b":")[0].strip().lower().decode("latin-1") for line in lines]
    present = {name: line.partition(b":")[2].strip().decode("latin-1") for name, line in zip(names, lines, strict=True)}
    for name, value in _headers(*_target(connection, lines[0]), present).items():
        if name in names:
            lines[names.index(name)] = f"{name}: {value}".encode("latin-1")
        else:
            connection.putheader(name, value)


def _target(connection: Any, request_line: bytes) -> tuple[str, int | None]:
    """Return host and port; a proxy gets them in the request line, or before the request."""
    target = request_line.split(b" ")[1].decode("latin-1")
    if not target.startswith("/"):  # else a path, which looks like a host if it begins with two slashes
        url = urlsplit(target)
        if url.hostname:
            return url.hostname, url.port or connection.default_port
    if connection._tunnel_host:
        return connection._tunnel_host, connection._tunnel_port
    return connection.host, connection.port


# httpx's request has our headers while it is sent: it is copied, with its headers, if the answer redirects.


def _handle(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
    request = args[0] if args else kwargs["request"]
    before = _complete_httpx(request)
    try:
        return wrapped(*args, **kwargs)
    finally:
        if before is not None:
            request.headers = before


async def _handle_async(wrapped: Any, _: Any, args: Any, kwargs: Any) -> Any:
    request = args[0] if args else kwargs["request"]
    before = _complete_httpx(request)
    try:
        return await wrapped(*args, **kwargs)
    finally:
        if before is not None:
            request.headers = before


@never_raises
def _complete_httpx(request: Any) -> Any:
    url, before = request.url, request.headers
    added = _headers(url.host, url.port or {"http": 80, "https": 443}.get(url.scheme), before)
    if not added:
        return None
    request.headers = before.copy()
    for name, value in added.items():  # not `update`, which decodes all
        request.headers[name] = value
    return before


def _send(wrapped: Any, request: Any, args: Any, kwargs: Any) -> Any:
    _complete_aiohttp(request)
    return wrapped(*args, **kwargs)


@never_raises
def _complete_aiohttp(request: Any) -> None:
    request.headers.update(_headers(request.url.host or "", request.url.port, request.headers))


@never_raises
def _leave_baggage_out(instrumentor: Any) -> None:
    """Keep OpenTelemetry's instrumentor of a client from sending what a caller sent on to every host."""
    from qualitrace.propagation.outgoing import inject_trace

    instrumentor.inject = inject_trace


def _headers(host: str, port: int | None, present: Mapping[str, str]) -> dict[str, str]:
    from qualitrace.propagation.outgoing import headers_for  # after the app's imports: it reads entry points

    return headers_for(host, port, present)
