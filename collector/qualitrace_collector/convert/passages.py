"""The passages an answer should rest on: from retriever spans, or else from the prompt."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content import encodable, messages_in
from qualitrace_collector.convert.documents import documents
from qualitrace_collector.convert.prompt import split_prompt
from qualitrace_collector.convert.stored import AnySpan
from qualitrace_collector.samples import Message, PassagesSource

LLM_TYPES = (SpanType.CHAT_MODEL, SpanType.LLM)


def find_passages(spans: Sequence[AnySpan], question: str) -> tuple[tuple[str, ...], PassagesSource]:
    """Return the texts in order of rank without repeats, and where they were found."""
    retrieved = [text for span in spans if span.span_type == SpanType.RETRIEVER for text in _retrieved_texts(span)]
    if retrieved:
        return tuple(dict.fromkeys(retrieved)), "retriever"
    for span in reversed([span for span in spans if span.span_type in LLM_TYPES]):
        if prompted := tuple(dict.fromkeys(_prompted_texts(messages_in(span.inputs), question))):
            return prompted, "prompt"
    return (), "none"


def _retrieved_texts(span: AnySpan) -> list[str]:
    found = documents(span.outputs)
    if not found and isinstance(span.outputs, str):
        return [span.outputs] if span.outputs.strip() else []
    return [encodable(document["page_content"]) for document in found if document["page_content"].strip()]


def _prompted_texts(turns: Iterable[Message], question: str) -> list[str]:
    """Return tool results, and those parts of the prompt that are marked as material to answer from."""
    texts: list[str] = []
    for turn in turns:
        if turn.role == "tool":
            texts.append(turn.content)
        elif turn.role in ("system", "user"):
            texts.extend(part for part in split_prompt(turn.content, turn.role)[1] if part != question)
    return [text for text in texts if text.strip()]


def dump(value: Any) -> str:
    """Serialise a tool's arguments or result for the sample; text stays text."""
    return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
