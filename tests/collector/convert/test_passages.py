"""Passages are found in documents and prompts of any shape, hostile ones in linear time too."""

import json
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import build_sample, convert
from qualitrace_collector.convert.content import passages
from qualitrace_collector.convert.content.opening import parsed
from qualitrace_collector.convert.content.prompt import split_prompt
from qualitrace_collector.sample import Sample
from support.otlp import chat_span, retriever_span, span
from support.pieces import piece_of


def sample_of(*spans: Span) -> Sample:
    """Build the sample of a trace that came at once."""
    return build_sample(convert(piece_of(*spans), "shop").spans, "shop")


def test_each_tagged_block_is_material_and_the_rest_is_the_question():
    """Blocks of several kinds, attributes in tags, and upper case; what stands around them is what was asked."""
    prompt = 'Hi. <documents n="2">One.\n\nTwo.</documents> When? <CONTEXT>Three.</context>'
    assert split_prompt(prompt) == ("Hi.  When?", ["One.", "Two.", "Three."])


def test_a_tag_without_an_end_marks_nothing():
    """A prompt that only speaks of its tags does not swallow the block that has an end."""
    assert split_prompt("Use <documents> or: <context>One.</context>") == ("Use <documents> or:", ["One."])


@given(st.lists(st.sampled_from(["<context>", "</context>", "<sources>", "</sources>", "a", "\n", "[1]"])))
def test_no_letter_of_a_prompt_is_lost(parts: list[str]):
    """However tags are nested or broken, each letter is in the question or in the material."""
    question, material = split_prompt("".join(parts))
    assert question.count("a") + sum(text.count("a") for text in material) >= parts.count("a")


@pytest.mark.parametrize("text", ["<context>" * 50_000, "<context>" * 25_000 + "</sources>" * 25_000])
def test_a_hostile_prompt_takes_no_longer_than_a_long_one(text: str):
    """Half a million characters of tags that never end are read in a moment, not in minutes."""
    started = time.process_time()
    assert split_prompt(text) == (text, [])
    assert time.process_time() - started < 2


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 900 + "]" * 900, '{"node": ' * 900 + "1" + "}" * 900])
def test_a_passage_that_looks_like_deep_json_is_no_obstacle(text: str):
    """A retrieved text that nests deeper than the stack still gives a sample."""
    sample = sample_of(retriever_span(1, 1, 0, query="Q?", passages=[text, "Plain."]))
    assert "Plain." in sample.passages


def test_each_turn_that_the_calls_of_an_agent_repeat_is_read_once(monkeypatch: pytest.MonkeyPatch):
    """Each call is given all turns before it, so to read them again would take time that grows with their square."""
    turns = [{"role": "user", "parts": [{"type": "text", "content": f"Step {number}?"}]} for number in range(8)]
    calls = [
        chat_span(
            1, 2 + number, 1, question="", answer="Done.", gen_ai__input__messages=json.dumps(turns[: number + 1])
        )
        for number in range(8)
    ]
    read = Counter[str]()

    def counted(text: str, role: Any = "user") -> tuple[str, list[str]]:
        read[text] += 1
        return split_prompt(text, role)

    monkeypatch.setattr(passages, "split_prompt", counted)
    assert sample_of(span(1, 1, name="agent"), *calls).passages == ()
    assert read == {f"Step {number}?": 1 for number in range(8)}


PROMPT = "Context:\nA backpack has a warranty of two years.\n\nQuestion: How long is the warranty?\nAnswer:"
FACT = "A backpack has a warranty of two years."


@pytest.mark.parametrize(
    "inputs",
    [
        PROMPT,
        {"prompt": PROMPT},
        {"prompts": [PROMPT]},
        {"inputs": PROMPT, "parameters": {"max_new_tokens": 9}},
        {"input": PROMPT, "model": "m"},
        {"contents": PROMPT},
    ],
    ids=["text", "completions", "LangChain", "Hugging Face", "Responses", "Gemini"],
)
@pytest.mark.parametrize("kind", ["LLM", "CHAIN"])
def test_the_material_of_a_prompt_without_roles_is_found(inputs: Any, kind: str):
    """It is taken out of the question, so it must not be lost."""
    value = inputs if isinstance(inputs, str) else json.dumps(inputs)
    sample = sample_of(span(1, 1, openinference__span__kind=kind, input__value=value, output__value="Two years."))
    assert (sample.inputs, sample.passages) == ("How long is the warranty?", (FACT,))


@pytest.mark.parametrize(
    ("beside", "reply"),
    [
        ({"documents": [{"title": "Backpacks", "snippet": FACT}]}, {"text": "Two years.", "generation_id": "g"}),
        ({}, {"choices": [{"message": {"content": "Two years.", "context": {"citations": [{"content": FACT}]}}}]}),
        (
            {},
            {
                "candidates": [
                    {
                        "content": {"role": "model", "parts": [{"text": "Two years."}]},
                        "groundingMetadata": {
                            "groundingChunks": [
                                {"retrievedContext": {"title": "Backpacks", "text": FACT}},
                                {"web": {"uri": "https://example.com", "title": "example.com"}},
                            ]
                        },
                    }
                ]
            },
        ),
    ],
    ids=["Cohere", "Azure OpenAI", "Gemini"],
)
def test_documents_that_a_provider_was_given_or_found_are_passages(beside: dict[str, Any], reply: dict[str, Any]):
    """They stand beside the messages of a call; a web page without its text is none."""
    inputs = {"messages": [{"role": "user", "content": "How long is the warranty?"}], **beside}
    call = span(1, 1, openinference__span__kind="LLM", input__value=json.dumps(inputs), output__value=json.dumps(reply))
    sample = sample_of(call)
    assert (sample.inputs, sample.outputs, sample.passages) == ("How long is the warranty?", "Two years.", (FACT,))


@pytest.mark.parametrize(
    "result",
    ['{"assistant": "Hours"}', "Successfully transferred to hours_agent", "Successfully transferred back to lead"],
)
def test_a_handover_between_agents_is_no_passage(result: str):
    """An answer that nothing was looked up for rests on nothing."""
    turns = [
        {"role": "user", "content": "When?"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "function": {"name": "transfer_to_hours", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": result},
    ]
    call = span(1, 2, 1, openinference__span__kind="LLM", input__value=json.dumps(turns), output__value="At nine.")
    tool = span(1, 3, 1, openinference__span__kind="TOOL", output__value=result)
    assert sample_of(span(1, 1, name="agent"), tool, call).passages == ()


@pytest.mark.parametrize(
    "document",
    [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": FACT}},
        {"document": {"name": "backpacks", "format": "txt", "source": {"text": FACT}}},
        {"document": {"name": "backpacks", "format": "txt", "source": {"content": [{"text": FACT}]}}},
    ],
    ids=["Anthropic's text", "Bedrock's text", "Bedrock's blocks"],
)
def test_a_document_in_a_message_is_a_passage(document: dict[str, Any]):
    """It is no part of the question beside it."""
    messages = [{"role": "user", "content": [document, {"text": "How long is the warranty?"}]}]
    call = span(1, 1, openinference__span__kind="LLM", input__value=json.dumps({"messages": messages}))
    sample = sample_of(call)
    assert (sample.inputs, sample.passages) == ("How long is the warranty?", (FACT,))


def test_text_that_is_no_json_stays_as_it_is():
    """Broken and endless JSON is text."""
    assert parsed("[" * 100_000) == "[" * 100_000
    assert parsed("{broken") == "{broken"
