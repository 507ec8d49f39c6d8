"""Content that a hostile or unlucky client records takes time in proportion to its length, and breaks nothing."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import convert_all
from qualitrace_collector.convert.blobs import without_blobs
from qualitrace_collector.convert.content import answer_text, opened, question_text
from qualitrace_collector.convert.content.prompt import split_prompt
from qualitrace_collector.piece import Piece
from support.pieces import piece_of

LONG = 100_000
SECONDS = 5.0
"""Each takes a few hundredths; what grows with the square of its length takes a minute or more."""


def _endless(prefix: str, piece: str) -> str:
    return prefix + piece * (LONG // len(piece)) + "x"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (opened, _endless("", "\n")),
        (opened, _endless("content='a'", " ")),
        (opened, _endless("['", "\\'")),
        (opened, _endless('{"a": ', '["')),
        (opened, _endless('{"a": "', '{"a":[')),
        (partial(split_prompt, role="system"), _endless("", "Question:\n===a\n")),
        (split_prompt, (_endless("Context:\n", "```") + "\n") * 8),
        (split_prompt, (_endless("Context:\n", "?") + "\n") * 8),
    ],
    ids=("newlines", "blanks", "quotes", "cut lists", "cut objects", "rules", "fences", "question marks"),
)
def test_long_texts_are_read_in_linear_time(read: Callable[[str], Any], text: str):
    """No repetition of blanks, quotes, brackets or marks holds up the traces behind it."""
    started = time.perf_counter()
    read(text)
    assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("key", ["args", "input", "data", "answer", "output", "result", "x"])
def test_wrappings_within_wrappings_are_looked_into_once(key: str):
    """A value in thirty mappings of one key is read at once, though the key may hold a question or an answer."""
    value: Any = "Why?"
    for _ in range(30):
        value = {key: value}
    started = time.perf_counter()
    question_text(value)
    answer_text(value, value)
    assert time.perf_counter() - started < SECONDS


@pytest.mark.parametrize("key", ["choices", "messages", "x"])
def test_an_answer_nested_deeper_than_the_stack_is_the_answer_as_sent(key: str):
    """Nothing that was recorded becomes an empty answer, or an error."""
    value: Any = "Because."
    for _ in range(400):
        value = {key: [value]}
    assert answer_text(json.dumps(value)) == json.dumps(value)


def test_pictures_nested_deeper_than_the_stack_stay():
    """What lies too deep to be looked through is stored as it came."""
    value: Any = "A" * 4096
    for _ in range(900):
        value = [value]
    assert json.dumps(without_blobs(value)) == json.dumps(value)


def test_json_with_words_behind_it_is_text():
    """Only what was cut off is opened as far as it goes; of all else nothing is lost."""
    assert opened('{"a": "b"} and more') == '{"a": "b"} and more'
    assert opened('{"a": ["b", "c') == {"a": ["b", "c"]}


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.prompts.0.prompt": "Why?"},
        {"llm.input_messages.0.message.tool_calls.0.tool_call": "search"},
        {"llm.tools.0.tool": "search", "llm.tools.0.tool.json_schema": "{}"},
        {"llm.tools.0.tool.json_schema": "{}", "llm.tools.1.tool": "search"},
    ],
    ids=("prompt", "call", "tool", "another tool"),
)
def test_a_text_where_a_mapping_is_expected_costs_no_trace(attributes: dict[str, str]):
    """OpenInference's numbered attributes may hold anything."""
    converted, failures = convert_all([(piece({"openinference.span.kind": "LLM"} | attributes), "s")])
    assert not failures
    assert len(converted) == 1


def piece(attributes: dict[str, str]) -> Piece:
    """Make the piece of a trace of one span."""
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="call", start_time_unix_nano=1, end_time_unix_nano=2)
    for key, text in attributes.items():
        span.attributes.add(key=key).value.string_value = text
    return piece_of(span)
