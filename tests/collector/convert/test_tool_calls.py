"""Which tools a response asks the application for, and whether a prompt goes on from a result, in any form."""

import json
from typing import Any

import pytest

from qualitrace_collector.convert.content.tool_calls import goes_on_from_tool, tools_asked_for

ASKING = {
    "openai": {"choices": [{"message": {"role": "assistant", "tool_calls": [{"function": {"name": "weather"}}]}}]},
    "openai responses": [{"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "c"}],
    "anthropic": {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
    "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": {"name": "weather"}}]}}]},
    "bedrock": {"output": {"message": {"role": "assistant", "content": [{"toolUse": {"name": "weather"}}]}}},
    "vercel": [{"type": "tool-call", "toolCallId": "c", "toolName": "weather", "input": {}}],
    "opentelemetry": [{"role": "assistant", "parts": [{"type": "tool_call", "name": "weather", "arguments": {}}]}],
}
NOT_ASKING = {
    "run by the provider": [{"type": "web_search_call", "id": "w"}, {"type": "server_tool_use", "name": "web_search"}],
    "offered": {"output": [{"role": "assistant", "content": "18"}], "tools": [{"type": "function", "name": "weather"}]},
    "the answer itself": {"role": "assistant", "tool_calls": [{"function": {"name": "final_answer"}}]},
    "a word": {"role": "assistant", "content": "A function and a tool."},
}


@pytest.mark.parametrize("outputs", ASKING.values(), ids=ASKING)
def test_a_tool_is_asked_for(outputs: Any) -> None:
    """As providers and libraries record it, as a value and as JSON."""
    assert tools_asked_for(outputs) == tools_asked_for(json.dumps(outputs)) == {"weather"}


@pytest.mark.parametrize("outputs", NOT_ASKING.values(), ids=NOT_ASKING)
def test_no_tool_is_asked_for(outputs: Any) -> None:
    """Tools that the provider runs, that are only offered, or that give the answer its form need no span."""
    assert tools_asked_for(outputs) == set()


@pytest.mark.parametrize(
    ("last", "goes_on"),
    [
        ({"role": "tool", "tool_call_id": "c", "content": "18"}, True),
        ({"role": "tool", "parts": [{"type": "tool_call_response", "response": "18"}]}, True),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "18"}]}, True),
        ({"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "18"}]}}]}, True),
        ({"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"c": 18}}}]}, True),
        ({"type": "function_call_output", "call_id": "c", "output": "18"}, True),
        ({"role": "user", "content": "And in Rome?"}, False),
    ],
)
@pytest.mark.parametrize("wrapper", [None, "messages", "input"])
def test_a_prompt_goes_on_from_a_result(last: dict[str, Any], goes_on: bool, wrapper: str | None) -> None:
    """The newest turn counts: a result of an earlier question stays in the prompts of a chat."""
    turns = [{"role": "user", "content": "Hot?"}, {"role": "tool", "tool_call_id": "b", "content": "17"}, last]
    inputs = turns if wrapper is None else {"model": "m", wrapper: turns}
    assert goes_on_from_tool(inputs) is goes_on
    assert goes_on_from_tool(json.dumps(inputs)) is goes_on


@pytest.mark.parametrize("value", [None, "", "text", [], {}, 3, {"messages": "x"}, [[["deep"]]], {"tool_calls": 3}])
def test_odd_values_ask_for_nothing(value: Any) -> None:
    """Nor do they raise."""
    assert (tools_asked_for(value), goes_on_from_tool(value)) == (set(), False)
