"""Judges see the arguments that a tool was called with, and what it said."""

import json
from typing import Any

import pytest

from qualitrace_collector.convert import build_sample, convert
from qualitrace_collector.sample import ToolCall
from support.otlp import chat_span, span
from support.pieces import piece_of

TEXT = {"type": "text", "text": "18 degrees"}
SERIALISED = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain_core", "messages", "ToolMessage"],
    "kwargs": {"status": "success", "content": "18 degrees", "tool_call_id": "call_1", "name": "weather"},
}


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        ([{"text": "18 degrees"}], "18 degrees"),
        ([TEXT, {"type": "text", "text": "sunny"}], "18 degrees\nsunny"),
        ({"content": [TEXT], "isError": False}, "18 degrees"),
        ({"blocks": [TEXT], "tool_name": "weather", "raw_output": "18 degrees"}, "18 degrees"),
        ({"result": "18 degrees"}, "18 degrees"),
        ({"output": SERIALISED}, "18 degrees"),
        (
            {"output": {"lg_name": "Command", "update": {"messages": [SERIALISED, SERIALISED]}}},
            "18 degrees\n18 degrees",
        ),
        ({"output": {"role": "user", "content": "Hi."}}, '{"output": {"role": "user", "content": "Hi."}}'),
        ({"content": [TEXT], "city": "Oslo"}, json.dumps({"content": [TEXT], "city": "Oslo"})),
        ([{"text": "18 degrees", "city": "Oslo"}], '[{"text": "18 degrees", "city": "Oslo"}]'),
        ({"degrees": 18}, '{"degrees": 18}'),
    ],
    ids=[
        "Strands",
        "parts",
        "MCP",
        "LlamaIndex",
        "ADK",
        "LangChain.js",
        "LangGraph.js",
        "a person's message",
        "record with parts",
        "records",
        "value",
    ],
)
def test_what_a_tool_returned_is_shown_as_people_read_it(returned: Any, shown: str):
    """Parts of a message are words; any other value stays as it was sent."""
    assert called({"city": "Oslo"}, returned).result == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"kwargs": {"city": "Oslo"}}, '{"city": "Oslo"}'),
        ({"args": [], "sanitize_inputs_outputs": True, "kwargs": {"city": "Oslo"}}, '{"city": "Oslo"}'),
        ({"args": ["Oslo"], "kwargs": {}}, '{"args": ["Oslo"], "kwargs": {}}'),
        ({"kwargs": {"city": "Oslo"}, "when": "now"}, '{"kwargs": {"city": "Oslo"}, "when": "now"}'),
    ],
)
def test_a_functions_keywords_are_the_tools_arguments(given: Any, shown: str):
    """Instrumentors that wrap a function record how Python called it."""
    assert called(given, "18 degrees").arguments == shown


@pytest.mark.parametrize(
    ("asked", "given", "shown"),
    [
        ({"city": "Oslo"}, "Oslo", '{"city": "Oslo"}'),
        ({"city": "Oslo"}, "Bergen", "Bergen"),
        ({"city": "Oslo", "day": "today"}, "Oslo", "Oslo"),
    ],
    ids=["the only argument", "another call", "one of several"],
)
def test_a_bare_argument_gets_its_name_from_the_model(asked: dict[str, str], given: str, shown: str):
    """OpenInference's LangChain.js writes the value alone if a tool has one argument, a text."""
    call = "llm__output_messages__0__message__tool_calls__0__tool_call__function__"
    requested = {f"{call}name": "weather", f"{call}arguments": json.dumps(asked)}
    model = span(1, 2, 1, openinference__span__kind="LLM", input__value="Warm?", **requested)
    tool = span(1, 3, 1, openinference__span__kind="TOOL", tool__name="weather", input__value=given)
    root = span(1, 1, openinference__span__kind="CHAIN", input__value="Warm?", output__value="Yes.")
    (found,) = build_sample(convert(piece_of(root, model, tool), "shop").spans, "shop").tool_calls
    assert found.arguments == shown


def called(given: Any, returned: Any) -> ToolCall:
    tool = span(
        1,
        2,
        1,
        openinference__span__kind="TOOL",
        tool__name="weather",
        input__value=json.dumps(given),
        output__value=returned if isinstance(returned, str) else json.dumps(returned),
    )
    spans = convert(piece_of(chat_span(1, 1, question="Warm?", answer="Yes."), tool), "shop").spans
    (call,) = build_sample(spans, "shop").tool_calls
    return call


def test_a_tool_without_a_name_is_called_as_its_span():
    """OpenInference names the spans of DSPy's tools after the method that runs them."""
    tool = span(1, 2, 1, name="weather.__call__", openinference__span__kind="TOOL", output__value="18 degrees")
    spans = convert(piece_of(chat_span(1, 1, question="Warm?", answer="Yes."), tool), "shop").spans
    assert [call.name for call in build_sample(spans, "shop").tool_calls] == ["weather"]


@pytest.mark.parametrize(("name", "passages"), [("final_answer", ()), ("weather", ("18 degrees",))])
def test_the_tool_that_answers_brings_no_passages(name: str, passages: tuple[str, ...]):
    """What smolagents' `final_answer` returns is the answer, which would be grounded in itself."""
    tool = span(1, 2, 1, openinference__span__kind="TOOL", tool__name=name, output__value="18 degrees")
    spans = convert(piece_of(chat_span(1, 1, question="Warm?", answer="18 degrees"), tool), "shop").spans
    assert build_sample(spans, "shop").passages == passages
