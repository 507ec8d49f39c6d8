"""Spans of Haystack's agents and of the tools that they call."""

from typing import Any

import wrapt

from qualitrace.quiet import never_raises
from qualitrace.spans import span


def record_agents() -> None:
    """Make a span of each run of an agent, and of each call of a tool.

    OpenInference's instrumentor traces components in a pipeline alone, and no tools.
    """
    wrapt.register_post_import_hook(_wrap_agent, "haystack.components.agents.agent")
    wrapt.register_post_import_hook(_wrap_tool, "haystack.tools.tool")


@never_raises
def _wrap_agent(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "Agent.run", _run)
    wrapt.wrap_function_wrapper(module, "Agent.run_async", _run_async)


@never_raises
def _wrap_tool(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "Tool.invoke", _invoke)
    wrapt.wrap_function_wrapper(module, "Tool.invoke_async", _invoke_async)


def _run(wrapped: Any, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with span("Agent.run", kind="agent") as current:
        current.set_inputs(_messages(args[0] if args else kwargs.get("messages")))
        result = wrapped(*args, **kwargs)
        current.set_outputs(_answer(result))
        return result


async def _run_async(wrapped: Any, agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with span("Agent.run_async", kind="agent") as current:
        current.set_inputs(_messages(args[0] if args else kwargs.get("messages")))
        result = await wrapped(*args, **kwargs)
        current.set_outputs(_answer(result))
        return result


def _invoke(wrapped: Any, tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with span(str(tool.name), kind="tool") as current:
        current.set_inputs(kwargs)
        result = wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result


async def _invoke_async(wrapped: Any, tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if tool.async_function is None:  # it calls `invoke`
        return await wrapped(*args, **kwargs)
    with span(str(tool.name), kind="tool") as current:
        current.set_inputs(kwargs)
        result = await wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result


@never_raises
def _messages(messages: Any) -> list[dict[str, Any]]:
    """Return messages in OpenAI's form, those with text."""
    return [{"role": message.role.value, "content": message.text} for message in messages if message.text]


@never_raises
def _answer(result: Any) -> Any:
    return result["last_message"].text
