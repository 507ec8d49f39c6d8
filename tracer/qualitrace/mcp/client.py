"""MCP in the client: the span of a call, and what its request carries to the server."""

import inspect
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import wrapt
from opentelemetry import trace as otel
from opentelemetry.trace import INVALID_SPAN, SpanKind, get_current_span

from qualitrace.mcp.spans import CALL, READ, attributes_of, documents, record_result, request_span
from qualitrace.quiet import never_raises
from qualitrace.spans import Span

# The span of the request that is being sent, for the SDK to use.
_sending: ContextVar[otel.Span] = ContextVar("qualitrace_mcp_sending", default=INVALID_SPAN)

# The host that requests go to, if it is known.
_host = ContextVar("qualitrace_mcp_host", default="")

# A server was started for the session that comes next.
_started = ContextVar("qualitrace_mcp_started", default=False)
_over_stdio: WeakSet[Any] = WeakSet()


@never_raises
def wrap_session(module: Any) -> None:
    """Trace calls of tools and readings of resources."""
    wrapt.wrap_function_wrapper(module, "ClientSession.__init__", _make_session)
    wrapt.wrap_function_wrapper(module, "ClientSession.send_request", _send_request)
    wrapt.wrap_function_wrapper(module, "ClientSession.call_tool", _call_tool)
    wrapt.wrap_function_wrapper(module, "ClientSession.read_resource", _read_resource)


@never_raises
def wrap_stdio(module: Any) -> None:
    """Notice which sessions are over stdio."""
    wrapt.wrap_function_wrapper(module, "_create_platform_compatible_process", _start_server)


@never_raises
def wrap_dispatcher(module: Any) -> None:
    """Let the SDK, from 2 on, use the span of the call, and carry what the settings allow."""
    wrapt.wrap_function_wrapper(module, "otel_span", _span_of_request)
    wrapt.wrap_function_wrapper(module, "inject_trace_context", _inject)


async def _start_server(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    process = await wrapped(*args, **kwargs)
    _started.set(True)
    return process


def _make_session(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if _started.get():
        _started.set(False)
        _over_stdio.add(session)
    wrapped(*args, **kwargs)


async def _send_request(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    token = _host.set(_host_of(session))
    try:
        return await wrapped(*args, **kwargs)
    finally:
        _host.reset(token)


def _host_of(session: Any) -> str:
    return "localhost" if session in _over_stdio else ""


async def _call_tool(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _client_span(CALL, str(_argument(args, kwargs, 0, "name"))) as span:
        span.set_inputs(_argument(args, kwargs, 1, "arguments") or {})
        result = await wrapped(*args, **_with_trace_context(wrapped, kwargs, _host_of(session)))
        record_result(span, result)
        return result


async def _read_resource(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    uri = str(_argument(args, kwargs, 0, "uri"))
    with _client_span(READ, uri) as span:
        span.set_inputs(uri)
        result = await wrapped(*args, **kwargs)
        span.set_outputs(documents(result))
        return result


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


@contextmanager
def _client_span(method: str, target: str) -> Generator[Span]:
    with request_span(method, target, SpanKind.CLIENT, _is_there(method, target)) as span:
        token = _sending.set(get_current_span())
        try:
            yield span
        finally:
            _sending.reset(token)


def _is_there(method: str, target: str) -> bool:
    """Whether the current span is FastMCP's of this request, or a framework's of this tool's call.

    Frameworks put the server's name in front of the tool's.
    """
    span = get_current_span()
    attributes = attributes_of(span)
    if getattr(span, "kind", None) == SpanKind.SERVER:
        return False  # a server that passes the call on
    is_same = attributes.get("mcp.method.name") == method
    name = attributes.get("gen_ai.tool.name") or attributes.get("tool.name")
    if method != CALL or name is None:
        return is_same
    is_tool = attributes.get("gen_ai.operation.name") == "execute_tool"
    is_tool = is_tool or attributes.get("openinference.span.kind") == "TOOL"
    return (is_same or is_tool) and str(name).endswith(target)


def _with_trace_context(wrapped: Any, kwargs: dict[str, Any], host: str) -> dict[str, Any]:
    """Return the keywords with what the request carries in `meta`; from 2 on the SDK adds it by itself."""
    if "meta" not in inspect.signature(wrapped).parameters:
        return kwargs
    meta = kwargs.get("meta") or {}
    carried = _carried(meta, host)
    return {**kwargs, "meta": {**meta, **carried}} if carried else kwargs


@contextmanager
def _span_of_request(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any]:
    current = _sending.get()
    if current is INVALID_SPAN or current is not get_current_span():
        with wrapped(*args, **kwargs) as span:
            yield span
    else:
        current.set_attributes(kwargs.get("attributes") or {})
        yield current


def _inject(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    meta: dict[str, Any] = _argument(args, kwargs, 0, "meta")
    meta.update(_carried(meta, _host.get()) or {})


@never_raises
def _carried(meta: Mapping[str, Any], host: str) -> dict[str, str]:
    """Return the trace and, for a server over stdio if the settings allow `localhost`, the session.

    The trace of `meta` gives way, as in the SDK: frameworks put in the span above the call's.
    """
    from qualitrace.propagation.outgoing import headers_for  # after the app's imports: it reads entry points

    present = {key: value for key, value in meta.items() if key == "baggage" and isinstance(value, str)}
    return headers_for(host, None, present)
