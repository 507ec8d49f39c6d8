"""The tools that an application called: name, arguments and result of each call."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qualitrace_collector.convert.content.messages import result_text, returned_messages
from qualitrace_collector.convert.content.opening import as_sent, opened
from qualitrace_collector.convert.content.tool_calls import calls_asked_for
from qualitrace_collector.convert.dialects import DIALECTS
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.sample import ToolCall

_TOOL_NAMES = tuple(name for dialect in DIALECTS for name in dialect.tool_name)

# A function's call as Python sees it (LlamaIndex, smolagents).
_CALL_KEYS = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})

# Keys for the arguments of a call in a model's answer: OpenAI and OTel, Gemini and Vercel, Anthropic.
_ARGUMENT_KEYS = ("arguments", "args", "input")

# Arguments by a tool's name and the value of its only argument.
_Asked = Mapping[tuple[str, str], str]


def called_tools(tools: Sequence[AnySpan], calls: Sequence[AnySpan]) -> tuple[ToolCall, ...]:
    """Return what the spans of tools show.

    Args:
        calls: the model calls of the trace. They say which argument it was if a tool's span has its bare value
            (OpenInference's LangChain.js).
    """
    asked = _asked_for(calls) if any(isinstance(tool.inputs, str) for tool in tools) else {}
    return tuple(
        ToolCall(name=name, arguments=_arguments(name, span.inputs, asked), result=_result(span.outputs))
        for name, span in zip(map(_name, tools), tools, strict=True)
    )


def _name(span: AnySpan) -> str:
    named = next((name for key in _TOOL_NAMES if (name := span.get_attribute(key))), None)
    return str(named or span.name.removesuffix(".__call__"))  # DSPy's tools in OpenInference


def _arguments(name: str, value: Any, asked: _Asked) -> str:
    if isinstance(value, str) and (whole := asked.get((name, value))):
        return whole
    inner = opened(value)
    if isinstance(inner, dict) and "kwargs" in inner and inner.keys() <= _CALL_KEYS and not inner.get("args"):
        return as_sent(inner["kwargs"])
    return _sent_or_empty(value)


def _result(value: Any) -> str:
    if returned := returned_messages(value):
        return "\n".join(returned)
    inner = opened(value)
    read = result_text(inner)
    return _sent_or_empty(value) if value is None or read == as_sent(inner) else read


def _sent_or_empty(value: Any) -> str:
    return "" if value is None else as_sent(value)


def _asked_for(calls: Iterable[AnySpan]) -> _Asked:
    """Return the arguments of the calls with a single text that models asked for."""
    found: dict[tuple[str, str], str] = {}
    for name, call in (item for span in calls for item in calls_asked_for(span.outputs)):
        given = next((call[key] for key in _ARGUMENT_KEYS if key in call), None)
        arguments = opened(given)
        values = list(arguments.values()) if isinstance(arguments, dict) else []
        if len(values) == 1 and isinstance(values[0], str):
            found[name, values[0]] = as_sent(given)
    return found
