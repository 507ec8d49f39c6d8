"""Question, answer and conversation are found in the shapes that libraries record."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.convert.content import answer_text, documents, messages_in, question_text

OPENAI = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
PARTS = [{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}]
LANGCHAIN = {
    "messages": [
        [
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "SystemMessage"],
                "kwargs": {"content": "S"},
            },
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain", "schema", "HumanMessage"],
                "kwargs": {"content": "Why?"},
            },
        ]
    ]
}
TEXT = {"type": "text", "content": "Because."}
MULTIMODAL = [{"role": "user", "content": [{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {}}]}]


@pytest.mark.parametrize(
    "inputs",
    [
        "Why?",
        {"question": "Why?", "k": 3},
        {"query": "Why?"},
        {"input": "Why?"},
        {"messages": OPENAI},
        json.dumps({"messages": OPENAI}),
        PARTS,
        LANGCHAIN,
        MULTIMODAL,
        {"messages": [["user", "Why?"]]},
        {"messages": [{"type": "human", "data": {"content": "Why?"}}]},
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Why?"}]}]},
        [{"role": "user", "parts": [{"type": "blob", "content": "iVBO"}, {"type": "text", "content": "Why?"}]}],
        [*PARTS, {"role": "user", "parts": [{"type": "tool_call_response", "id": "c", "response": "rain"}]}],
        [*PARTS, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "rain"}]}],
        [*PARTS, {"role": "user", "content": [{"toolResult": {"content": [{"text": "rain"}]}}]}],
    ],
)
def test_the_question_is_found(inputs: object):
    """Plain text, arguments, messages of all libraries; neither pictures nor tool results are the user's words."""
    assert question_text(inputs) == "Why?"


@pytest.mark.parametrize(
    "outputs",
    [
        "Because.",
        {"answer": "Because."},
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Because."}}]},
        [{"role": "assistant", "parts": [{"type": "text", "content": "Because."}], "finish_reason": "stop"}],
        {
            "generations": [
                [{"text": "x", "message": {"id": ["langchain", "AIMessage"], "kwargs": {"content": "Because."}}}]
            ]
        },
        {
            "output": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Because."}]}
            ]
        },
        {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]},
        [{"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, TEXT]}],
        [{"role": "assistant", "parts": [TEXT, {"type": "tool_call_response", "id": "c", "response": "rain"}]}],
    ],
)
def test_the_answer_is_found(outputs: object):
    """Plain text, messages of all libraries, a whole conversation; neither thoughts nor tool results are answers."""
    assert answer_text(outputs) == "Because."


def test_a_tool_call_is_no_answer():
    """An assistant turn without text has nothing to judge."""
    assert answer_text([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]) == ""


def test_tool_results_in_a_users_turn_are_the_tools():
    """Anthropic's results of tools are material for the answer, as a tool's turn is elsewhere."""
    turns = messages_in([{"role": "user", "content": [{"type": "tool_result", "content": "rain"}]}])
    assert [(turn.role, turn.content) for turn in turns] == [("tool", "rain")]


def test_the_conversation_keeps_order_and_roles():
    """Roles of all libraries become user, assistant, system and tool, oldest turn first."""
    turns = messages_in(
        [{"type": "human", "content": "A"}, {"type": "ai", "content": "B"}, {"role": "tool", "content": "C"}]
    )
    assert [(turn.role, turn.content) for turn in turns] == [("user", "A"), ("assistant", "B"), ("tool", "C")]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just("\ud83d"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "messages", "input", "type", "id", "x"]) | st.text(), inner
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_value_gives_text(value: object):
    """Whatever a client records, question and answer come out as text that UTF-8 can carry."""
    question_text(value).encode()
    answer_text(value).encode()


@pytest.mark.parametrize("key", ["input", "inputs", "body"])
def test_nested_arguments_are_read_in_linear_time(key: str):
    """A mapping in a mapping under a key that is a question's, a wrapper's or a branch's is read once, not thrice."""
    value: object = {"number": 1, "other": 2}
    for _ in range(30):
        value = {key: value}
    started = time.process_time()
    assert question_text(value)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("key", ["messages", "content", "choices", "outputs"])
def test_no_key_leads_deeper_than_the_stack(key: str):
    """As mappings, as lists of one mapping, and as choices of choices, for a model's answer and for a chain's."""
    mapping: Any = "deep"
    listed: Any = "deep"
    for _ in range(900):
        mapping, listed = {key: mapping}, [{key: listed}]
    for value in (mapping, listed, {key: listed}):
        for from_model in (True, False):
            assert isinstance(answer_text(value, from_model=from_model), str)
        assert isinstance(documents(value), list)


def test_deep_nesting_ends():
    """A value nested thousands of levels deep is cut, not followed to the end of the stack."""
    value: object = "deep"
    for _ in range(5000):
        value = {"content": value}
    assert messages_in(value) == []
    assert answer_text(value) == question_text(value) == ""
