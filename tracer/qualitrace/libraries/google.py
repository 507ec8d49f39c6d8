"""What the instrumentors of Google's libraries leave out."""

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import wrapt
from opentelemetry.context import attach, detach, set_value

from qualitrace.quiet import never_raises
from qualitrace.spans import Span, span

_REQUESTS = {
    "Models._generate_content": "_create_instrumented_generate_content",
    "Models._generate_content_stream": "_create_instrumented_generate_content_stream",
    "AsyncModels._generate_content": "_create_instrumented_async_generate_content",
    "AsyncModels._generate_content_stream": "_create_instrumented_async_generate_content_stream",
}
"""The methods of google-genai that send one request, and what OpenTelemetry's instrumentor wraps the public ones in."""


def record_function_calls() -> None:
    """Trace what google-genai does when it calls functions by itself: several requests, and in a chat the functions.

    OpenTelemetry's instrumentor makes one span of all requests, with the tokens of the last one; in a chat it makes a
    trace of each.
    """
    from opentelemetry.instrumentation.google_genai import generate_content  # pyright: ignore
    from opentelemetry.instrumentation.google_genai.allowlist_util import AllowList  # pyright: ignore
    from opentelemetry.util.genai.handler import TelemetryHandler

    handler = TelemetryHandler(instrumentation_scope_name=generate_content.__name__.rpartition(".")[0])
    for method, name in _REQUESTS.items():
        instrumented = getattr(generate_content, name)(handler, AllowList())
        wrapper = _request_async(instrumented) if method.startswith("Async") else _request(instrumented)
        wrapt.wrap_function_wrapper("google.genai.models", method, wrapper)
    wrapt.wrap_function_wrapper("google.genai.chats", "Chat.send_message", _send_message)
    wrapt.wrap_function_wrapper("google.genai.chats", "AsyncChat.send_message", _send_message_async)
    for name, wrapper in (("", _invoke), ("_async", _invoke_async)):
        wrapt.wrap_function_wrapper("google.genai._extra_utils", f"invoke_function_from_dict_args{name}", wrapper)


def _request(instrumented: Any) -> Any:
    def request(wrapped: Any, models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _has_functions(kwargs.get("config")):
            return wrapped(*args, **kwargs)
        with _outside_of_call():
            return instrumented(wrapped, models, args, kwargs)

    return request


def _request_async(instrumented: Any) -> Any:
    async def request(wrapped: Any, models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _has_functions(kwargs.get("config")):
            return await wrapped(*args, **kwargs)
        with _outside_of_call():
            return await instrumented(wrapped, models, args, kwargs)

    return request


@contextmanager
def _outside_of_call() -> Generator[None]:
    """Let OpenTelemetry make a span within that of a call: it takes the inner one for the same call."""
    from opentelemetry.util.genai._inference_invocation import CLIENT_INFERENCE_CONTEXT_KEY  # pyright: ignore

    token = attach(set_value(CLIENT_INFERENCE_CONTEXT_KEY, None))
    try:
        yield
    finally:
        detach(token)


def _has_functions(config: Any) -> bool:
    """Whether the library may call functions by itself: in a chat it switches that off in the requests."""
    automatic = getattr(config, "automatic_function_calling", None)
    return not getattr(automatic, "disable", None) and any(map(callable, getattr(config, "tools", None) or ()))


def _send_message(wrapped: Any, chat: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _has_functions(kwargs.get("config") or chat._config):
        return wrapped(*args, **kwargs)
    with span("Chat.send_message", kind="agent") as current:
        current.set_inputs(args[0] if args else kwargs.get("message"))
        result = wrapped(*args, **kwargs)
        _record_text(current, result)
        return result


async def _send_message_async(wrapped: Any, chat: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _has_functions(kwargs.get("config") or chat._config):
        return await wrapped(*args, **kwargs)
    with span("AsyncChat.send_message", kind="agent") as current:
        current.set_inputs(args[0] if args else kwargs.get("message"))
        result = await wrapped(*args, **kwargs)
        _record_text(current, result)
        return result


@never_raises
def _record_text(current: Span, response: Any) -> None:
    parts = response.candidates[0].content.parts
    current.set_outputs("".join(part.text for part in parts if part.text and not part.thought))


def _invoke(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given, function = args[:2]
    if _is_traced(function):
        return wrapped(*args, **kwargs)
    with span(getattr(function, "__name__", "function"), kind="tool") as current:
        current.set_inputs(given)
        result = wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result


async def _invoke_async(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given, function = args[:2]
    if _is_traced(function):
        return await wrapped(*args, **kwargs)
    with span(getattr(function, "__name__", "function"), kind="tool") as current:
        current.set_inputs(given)
        result = await wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result


def _is_traced(function: Any) -> bool:
    """Whether OpenTelemetry's instrumentor has wrapped a function."""
    made_in = getattr(function, "__globals__", {}).get("__name__", "")
    return made_in == "opentelemetry.instrumentation.google_genai.tool_call_wrapper"


def record_user() -> None:
    """Let the Agent Development Kit name the user on the span of an agent, as it names the session."""
    wrapt.wrap_function_wrapper("google.adk.telemetry.tracing", "trace_agent_invocation", _trace_agent_invocation)


def _trace_agent_invocation(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = wrapped(*args, **kwargs)
    _name_user(*inspect.signature(wrapped).bind(*args, **kwargs).args)
    return result


@never_raises
def _name_user(current: Any, agent: Any, invocation: Any) -> None:
    attributes = getattr(current, "attributes", None) or {}
    if "user.id" not in attributes and (user := invocation.session.user_id):  # the app's session may have named one
        current.set_attribute("user.id", str(user))
