"""Finds the passages that an answer should rest on.

The first of these places that has any counts: outputs of retriever spans; of reranker spans; documents beside question
and answer in the inputs and outputs of chains; tool results, marked material and documents of a model's call; outputs
of tool spans.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from mlflow.entities import SpanType

from qualitrace_collector.convert.content import forms
from qualitrace_collector.convert.content.documents import document_texts
from qualitrace_collector.convert.content.messages import messages_in, returned_messages
from qualitrace_collector.convert.content.opening import as_sent, at, is_blank, opened
from qualitrace_collector.convert.content.prompt import split_prompt
from qualitrace_collector.convert.content.question import asked
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.sample import Message, PassagesSource

NO_MATERIAL_TYPES = (*CALL_TYPES, SpanType.EMBEDDING, SpanType.TOOL, SpanType.RETRIEVER, SpanType.RERANKER)
MAX_PASSAGES = 1000

# What stands in place of a tool's result: Mastra's exporter (@mastra/core's observability); OpenAI's Agents and
# LangGraph, where one agent hands over to another.
_PLACEHOLDER = re.compile(
    r"\[tool-result: [^\]]*\]|\{\s?\"assistant\": ?\"[^\"]{0,100}\"\s?\}"
    r"|Successfully transferred (?:back )?to [^\s.]{1,100}"
)


class Passage(NamedTuple):
    """A text that the answer should rest on, the span that has it, and the span's field."""

    text: str
    span: AnySpan
    field: str


def find_passages(spans: Sequence[AnySpan], question: str) -> tuple[tuple[Passage, ...], PassagesSource]:
    """Return the passages in order of rank without repeats, and where they were found."""
    for span_type in (SpanType.RETRIEVER, SpanType.RERANKER):
        if found := _distinct(_retrieved(spans, span_type)):
            return found, "retriever"
    if found := _distinct(_beside_answers(spans, question)):
        return found, "retriever"
    calls = [span for span in spans if span.span_type in CALL_TYPES]
    read: set[Message] = set()
    for span in (*reversed(calls), *(span for span in spans if span.span_type not in NO_MATERIAL_TYPES)):
        if found := _distinct(_prompted(span, question, read)):
            return found, "prompt"
    if found := _distinct(_brought_by_tools(spans)):
        return found, "tool"
    return (), "none"


def texts_of(value: Any) -> list[str]:
    """Return the texts of a retriever's or a tool's outputs: of its records, or else the value itself."""
    found = document_texts(value)
    if found or is_blank(value):
        return found
    value = opened(value)
    return [] if isinstance(value, list) else [as_sent(value)]


def result_texts(text: str) -> list[str]:
    """Return the texts of a tool's result in a prompt: of its records, or the whole of it; none of a placeholder."""
    if _PLACEHOLDER.fullmatch(text):
        return []
    value = opened(text)
    # A single record is kept whole: the answer may rest on any of its fields.
    if isinstance(value, list) or (isinstance(value, dict) and _is_envelope(value)):
        return texts_of(value) or [text]
    return [text]


def _is_envelope(value: dict[str, Any]) -> bool:
    """Whether a mapping only wraps a tool's result: MCP's `content`, a list of records with its count."""
    content = value.get("content", value.get("contents"))
    if isinstance(content, list):
        return True
    lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
    return len(lists) == 1 and all(isinstance(item, (list, int, float, str, type(None))) for item in value.values())


def _distinct(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    found: dict[str, Passage] = {}
    for passage in passages:
        if passage.text.strip() and len(found) < MAX_PASSAGES:
            found.setdefault(passage.text, passage)
    return tuple(found.values())


def _retrieved(spans: Iterable[AnySpan], span_type: str) -> Iterator[Passage]:
    for span in spans:
        if span.span_type == span_type:
            yield from (Passage(text, span, "outputs") for text in texts_of(span.outputs))


def _beside_answers(spans: Sequence[AnySpan], question: str) -> Iterator[Passage]:
    """Yield documents that chains return with their answer, or are given with their question."""
    for span in spans:
        if span.span_type in NO_MATERIAL_TYPES:
            continue
        for field, value in (("outputs", span.outputs), ("inputs", span.inputs)):
            for key in forms.MATERIAL_KEYS if isinstance(value, dict) else ():
                texts = _material(value.get(key))
                yield from (Passage(text, span, f"{field}.{key}") for text in texts if text != question)
                if texts:
                    return


def _material(value: Any) -> list[str]:
    """Return the texts under a key that may hold material, none if it holds no texts and no documents."""
    value = opened(value)
    if isinstance(value, str):
        return [value] if " " in value.strip() else []
    return document_texts(value)


def _prompted(span: AnySpan, question: str, read: set[Message]) -> Iterator[Passage]:
    """Yield tool results, and those parts of the prompt that are marked as material to answer from.

    Args:
        read: turns of other spans, which are not read again: an agent's calls repeat all turns before them.
    """
    for number, turn in enumerate(messages_in(span.inputs) or _bare_prompt(span)):
        if turn not in read:
            read.add(turn)
            texts = _turn_texts(turn, question)
            yield from (Passage(text, span, f"inputs turn {number} ({turn.role})") for text in texts)
    # The results of a provider's own tools (a search of files) stand in its response.
    for number, turn in enumerate(messages_in(span.outputs)):
        for text in result_texts(turn.content) if turn.role == "tool" else ():
            yield Passage(text, span, f"outputs turn {number} (tool)")
    for field, path in forms.GROUNDING:
        shown = at(opened(getattr(span, field)), *path)
        for item in shown if isinstance(shown, list) else ():
            if not (isinstance(item, dict) and "web" in item):  # of pages on the web Gemini shows no text
                yield from (Passage(text, span, f"{field}.{path[-1]}") for text in document_texts([item]))


def _bare_prompt(span: AnySpan) -> list[Message]:
    """Return the prompt of a text completion, or a chain's, as a turn: it may be marked as a user's is."""
    text = asked(span.inputs, of_model=True).question
    return [] if text[:1] in ("{", "[") else [Message(role="user", content=text)]


def _turn_texts(turn: Message, question: str) -> list[str]:
    if turn.role == "tool":
        return result_texts(turn.content)
    if turn.role in ("system", "user"):
        return [text for text in split_prompt(turn.content, turn.role)[1] if text != question]
    return []


def _brought_by_tools(spans: Iterable[AnySpan]) -> Iterator[Passage]:
    for span in spans:
        if span.span_type != SpanType.TOOL or is_blank(span.outputs):
            continue
        if span.get_attribute("tool.name") not in forms.FINAL_TOOLS:
            for result in returned_messages(span.outputs) or [as_sent(span.outputs)]:
                yield from (Passage(text, span, "outputs") for text in result_texts(result))
