"""Spans of the Model Context Protocol: tools that are called and resources that are read.

The official SDK (2.x) makes a span of each request in the client and in the server, without content, and carries the
trace in the request's `_meta`. Its server's span gets the content here. Its client's span ends before the result is
known, so the span of the call itself takes its place. The SDK before 2 makes no spans and carries nothing.

A span that is there already is used: of an agent framework that traces its tools, or of FastMCP's client and server.
"""

import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import wrapt
from opentelemetry import propagate
from opentelemetry import trace as otel
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span, set_span_in_context

from qualitrace.quiet import never_raises
from qualitrace.serialize import as_mapping
from qualitrace.spans import KINDS, Kind, Recording, Span

_CALL, _READ = "tools/call", "resources/read"
_KINDS: Mapping[str, Kind] = {_CALL: "tool", _READ: "retriever"}

# The span of the request that is being sent, for the SDK to use.
_sending: ContextVar[otel.Span] = ContextVar("qualitrace_mcp_sending", default=INVALID_SPAN)


def trace_mcp() -> None:
    """Make, or complete, a span of each tool's call and each resource's reading, in the client and in the server."""
    for module, wrap in (
        ("mcp.client.session", _wrap_client),
        ("mcp.shared.jsonrpc_dispatcher", _wrap_dispatcher),
        ("mcp.server.runner", _wrap_server),
        ("mcp.server.lowlevel.server", _wrap_server_before_2),
    ):
        wrapt.register_post_import_hook(wrap, module)


@never_raises
def _wrap_client(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "ClientSession.call_tool", _call_tool)
    wrapt.wrap_function_wrapper(module, "ClientSession.read_resource", _read_resource)


@never_raises
def _wrap_dispatcher(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "otel_span", _span_of_request)


@never_raises
def _wrap_server(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "ServerRunner._compose_server_middleware", _compose)


@never_raises
def _wrap_server_before_2(module: Any) -> None:
    if hasattr(module.Server, "_handle_request"):
        wrapt.wrap_function_wrapper(module, "Server._handle_request", _handle_request)


async def _call_tool(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _client_span(_CALL, str(_argument(args, kwargs, 0, "name"))) as span:
        span.set_inputs(_argument(args, kwargs, 1, "arguments") or {})
        result = await wrapped(*args, **_with_trace_context(wrapped, kwargs))
        _record_result(span, result)
        return result


async def _read_resource(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    uri = str(_argument(args, kwargs, 0, "uri"))
    with _client_span(_READ, uri) as span:
        span.set_inputs(uri)
        result = await wrapped(*args, **kwargs)
        span.set_outputs(_documents(result))
        return result


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


@contextmanager
def _client_span(method: str, target: str) -> Generator[Span]:
    with _span(method, target, SpanKind.CLIENT, _belongs_to_client(method, target)) as span:
        token = _sending.set(get_current_span())
        try:
            yield span
        finally:
            _sending.reset(token)


@contextmanager
def _span(method: str, target: str, kind: SpanKind, is_there: bool) -> Generator[Span]:
    """Make a span current in the block; if it is there, complete the current one instead."""
    if is_there:
        span = Span(get_current_span(), _KINDS[method])
        _identify(span, method, target)
        yield span
        return
    recording = Recording(f"{method} {target}" if method == _CALL else method, _KINDS[method], kind)
    with recording.lifetime(), recording.current():
        _identify(recording.span, method, target)
        yield recording.span


def _identify(span: Span, method: str, target: str) -> None:
    convention = KINDS[_KINDS[method]]
    span.set_attribute("openinference.span.kind", _KINDS[method].upper())
    span.set_attribute("gen_ai.operation.name", convention.operation)
    span.set_attribute("mcp.method.name", method)
    span.set_attribute(convention.name or "mcp.resource.uri", target)


def _belongs_to_client(method: str, target: str) -> bool:
    """Whether the current span is FastMCP's of this request, or a framework's of this tool's call.

    Frameworks put the server's name in front of the tool's.
    """
    span = get_current_span()
    attributes = _attributes(span)
    if getattr(span, "kind", None) == SpanKind.SERVER:
        return False  # a server that passes the call on
    is_same = attributes.get("mcp.method.name") == method
    if method != _CALL:
        return is_same
    name = attributes.get("gen_ai.tool.name") or attributes.get("tool.name")
    is_tool = attributes.get("gen_ai.operation.name") == "execute_tool"
    is_tool = is_tool or attributes.get("openinference.span.kind") == "TOOL"
    return (is_same or is_tool) and str(name).endswith(target)


def _belongs_to_server(span: otel.Span) -> bool:
    """Whether a span is the SDK's or FastMCP's of the request that is being served."""
    return getattr(span, "kind", None) == SpanKind.SERVER and _attributes(span).get("mcp.method.name") == _CALL


def _attributes(span: otel.Span) -> Mapping[str, Any]:
    return (getattr(span, "attributes", None) or {}) if span.is_recording() else {}


def _with_trace_context(wrapped: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords with the current trace context in `meta`; from 2 on the SDK sends it by itself."""
    carrier: dict[str, str] = {}
    if "meta" in inspect.signature(wrapped).parameters:
        propagate.inject(carrier)
    return {**kwargs, "meta": {**(kwargs.get("meta") or {}), **carrier}} if carrier else kwargs


@contextmanager
def _span_of_request(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[otel.Span]:
    current = _sending.get()
    if current is INVALID_SPAN or current is not get_current_span():
        with wrapped(*args, **kwargs) as span:
            yield span
    else:
        current.set_attributes(kwargs.get("attributes") or {})
        yield current


def _compose(wrapped: Any, runner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    inner: Callable[[Any], Awaitable[Any]] = args[0]

    async def traced(request: Any) -> Any:
        if request.method != _CALL:
            return await inner(request)
        params = request.params or {}
        with _server_span(request.meta, params.get("name"), params.get("arguments")) as span:
            result = await inner(request)
            _record_result(span, result)
            return result

    return wrapped(traced, *args[1:], **kwargs)


async def _handle_request(wrapped: Any, server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    message, request = args[:2]
    if getattr(request, "method", None) != _CALL:
        return await wrapped(*args, **kwargs)
    with _server_span(message.request_meta, request.params.name, request.params.arguments) as span:
        respond = message.respond

        async def recording(response: Any) -> Any:
            _record_result(span, getattr(response, "root", response))
            return await respond(response)

        message.respond = recording
        return await wrapped(*args, **kwargs)


@contextmanager
def _server_span(meta: Any, name: Any, arguments: Any) -> Generator[Span]:
    token = attach(_context_of(meta) or get_current())
    try:
        with _span(_CALL, str(name), SpanKind.SERVER, _belongs_to_server(get_current_span())) as span:
            span.set_inputs(arguments or {})
            yield span
    finally:
        detach(token)


@never_raises
def _context_of(meta: Any) -> Context:
    """Return the current context with what the client sent: its baggage, and its span as the parent.

    A span of the request that is current stays, as it has the parent already. Another one is of the transport or,
    before 2, of the request that opened the session.
    """
    here = get_current_span()
    serves = _belongs_to_server(here)
    base = get_current() if serves else set_span_in_context(INVALID_SPAN)
    fields = meta if isinstance(meta, Mapping) else getattr(meta, "model_extra", None) or {}
    found = propagate.extract({key: value for key, value in fields.items() if isinstance(value, str)}, base)
    return set_span_in_context(here, found) if serves else found


@never_raises
def _record_result(span: Span, result: Any) -> None:
    """Record what a tool returned: its texts as people read them; the structure only if there is no text."""
    fields = _wire(result)
    text = "\n".join(map(_text, fields.get("content") or ()))
    if fields.get("isError"):
        span.set_attribute("error.type", "tool_error")
        get_current_span().set_status(StatusCode.ERROR, text)
    elif "code" in fields:  # an error of the protocol, before 2
        span.set_attribute("error.type", str(fields["code"]))
        get_current_span().set_status(StatusCode.ERROR, str(fields.get("message")))
    # Without content the server asks back.
    span.set_outputs(text or fields.get("structuredContent") or ("" if "content" in fields else fields))


@never_raises
def _documents(result: Any) -> list[dict[str, Any]]:
    return [{"id": item.get("uri"), "text": _text(item)} for item in _wire(result).get("contents") or []]


def _wire(result: Any) -> Mapping[str, Any]:
    """Return a result by the protocol's names."""
    if callable(dump := getattr(result, "model_dump", None)):
        result = dump(by_alias=True, exclude_none=True, mode="json")
    return as_mapping(result) or {}


def _text(block: Mapping[str, Any]) -> str:
    """Return a block of content as text: media by their type, resources by their text or address."""
    resource = block.get("resource") or block
    if isinstance(text := resource.get("text"), str):
        return text
    return f"<{' '.join(filter(None, (resource.get('mimeType') or block.get('type'), resource.get('uri'))))}>"
