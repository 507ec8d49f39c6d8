"""Which calls of tools a model asked the application for, and whether a prompt goes on from a tool's result."""

from collections.abc import Iterator
from typing import Any

from qualitrace_collector.convert.content import forms
from qualitrace_collector.convert.content.messages import messages_in
from qualitrace_collector.convert.content.opening import MAX_DEPTH, opened

# Types of parts and items: OTel, Anthropic, OpenAI's Responses; Vercel and pydantic-ai write hyphens. What a provider
# runs itself (`server_tool_use`, `web_search_call`) is none of the application's.
_CALLS = frozenset({"tool_call", "tool_use", "function_call", "custom_tool_call"})
# Keys that hold a call: OpenAI (old), Gemini, Bedrock, Haystack.
_CALL_KEYS = ("function_call", "functionCall", "toolUse", "tool_call")
_LIST_KEYS = ("tool_calls", "toolCalls")  # OpenAI, LangChain, Ollama; Vercel
_NAME_KEYS = ("name", "toolName", "tool_name")

# Calls that only give the answer its form: pydantic-ai's, and those named like the class that describes it (Instructor,
# LangChain's `with_structured_output`). Functions begin with a small letter.
_FORMS = frozenset({*forms.FINAL_TOOLS, "final_result"})

# Values that are looked at in one response: more than any has besides its texts.
_MAX_VALUES = 5_000


def tools_asked_for(outputs: Any) -> set[str]:
    """Return the names of the tools that a response asks the application to run."""
    return {name for name, _ in calls_asked_for(outputs) if name not in _FORMS and not name[:1].isupper()}


def calls_asked_for(outputs: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each call in a response, as the name of the tool and what holds its arguments."""
    waiting, looked_at = [(opened(outputs), 0)], 0
    while waiting and looked_at < _MAX_VALUES:
        value, depth = waiting.pop()
        looked_at += 1
        if isinstance(value, dict):
            yield from _in_mapping(value)
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if depth < MAX_DEPTH:
            waiting += [(item, depth + 1) for item in items if isinstance(item, (dict, list))]


def goes_on_from_tool(inputs: Any) -> bool:
    """Whether the last turn of a prompt is a tool's result."""
    value = opened(inputs)
    for key in forms.CONVERSATION_KEYS if isinstance(value, dict) else ():
        if key in value:
            value = opened(value[key])
            break
    last = messages_in(value[-1:]) if isinstance(value, list) else []
    return bool(last) and last[-1].role == "tool"


def _in_mapping(value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    kinds = (value.get(key) for key in forms.TYPE_KEYS)
    if any(isinstance(kind, str) and kind.lower().replace("-", "_") in _CALLS for kind in kinds):
        yield from _call(value)
    for key in _CALL_KEYS:
        yield from _call(value.get(key))
    for key in _LIST_KEYS:
        items = value.get(key)
        for item in items if isinstance(items, list) else ():
            yield from _call(item.get("function", item) if isinstance(item, dict) else None)


def _call(call: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(call, dict):
        yield from ((name, call) for key in _NAME_KEYS if isinstance(name := call.get(key), str) and name)
