"""MCP in the server: the span of a tool's call, below the client's."""

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import wrapt
from opentelemetry import propagate
from opentelemetry import trace as otel
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, SpanKind, get_current_span, set_span_in_context

from qualitrace.mcp.spans import CALL, attributes_of, record_result, request_span
from qualitrace.quiet import never_raises
from qualitrace.spans import Span


@never_raises
def wrap_server(module: Any) -> None:
    """Complete the span that the SDK, from 2 on, or FastMCP makes of a request, within all middleware."""
    wrapt.wrap_function_wrapper(module, "ServerRunner._compose_server_middleware", _compose)


@never_raises
def wrap_server_before_2(module: Any) -> None:
    """Make a span of each call of a tool."""
    if hasattr(module.Server, "_handle_request"):
        wrapt.wrap_function_wrapper(module, "Server._handle_request", _handle_request)


def _compose(wrapped: Any, runner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inner: Callable[[Any], Awaitable[Any]] = args[0]

    async def traced(request: Any) -> Any:
        if request.method != CALL:
            return await inner(request)
        params = request.params or {}
        with _server_span(request.meta, params.get("name"), params.get("arguments")) as span:
            result = await inner(request)
            record_result(span, result)
            return result

    return wrapped(traced, *args[1:], **kwargs)


async def _handle_request(wrapped: Any, server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    message, request = args[:2]
    if getattr(request, "method", None) != CALL:
        return await wrapped(*args, **kwargs)
    with _server_span(message.request_meta, request.params.name, request.params.arguments) as span:
        respond = message.respond

        async def recording(response: Any) -> Any:
            record_result(span, getattr(response, "root", response))
            return await respond(response)

        message.respond = recording
        return await wrapped(*args, **kwargs)


@contextmanager
def _server_span(meta: Any, name: Any, arguments: Any) -> Generator[Span]:
    token = attach(_context_of(meta) or get_current())
    try:
        with request_span(CALL, str(name), SpanKind.SERVER, _is_of_request(get_current_span())) as span:
            span.set_inputs(arguments or {})
            yield span
    finally:
        detach(token)


def _is_of_request(span: otel.Span) -> bool:
    """Whether a span is the SDK's or FastMCP's of the request that is being served."""
    return getattr(span, "kind", None) == SpanKind.SERVER and attributes_of(span).get("mcp.method.name") == CALL


@never_raises
def _context_of(meta: Any) -> Context:
    """Return the current context with what the client sent: its session, and its span as the parent.

    A span of the request that is current stays, as it has the parent already. Another one is of the transport or,
    before 2, of the request that opened the session.
    """
    here = get_current_span()
    serves = _is_of_request(here)
    base = get_current() if serves else set_span_in_context(INVALID_SPAN)
    fields = meta if isinstance(meta, Mapping) else getattr(meta, "model_extra", None) or {}
    found = propagate.extract({key: value for key, value in fields.items() if isinstance(value, str)}, base)
    return set_span_in_context(here, found) if serves else found
