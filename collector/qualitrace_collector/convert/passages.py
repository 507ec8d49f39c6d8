"""The passages an answer should rest on: from retriever spans, or else from the prompt."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities import Span, SpanType

from qualitrace_collector.convert.content import content_text, messages_in, parsed
from qualitrace_collector.samples import Message, PassagesSource

LLM_TYPES = (SpanType.CHAT_MODEL, SpanType.LLM)
_DOCUMENT_KEYS = ("page_content", "content", "text", "document", "passage", "body")
_LIST_KEYS = ("documents", "docs", "passages", "results", "nodes", "matches", "chunks", "contexts", "hits")
_OPENINFERENCE = re.compile(r"^retrieval\.documents\.(\d+)\.document\.content$")

# A prompt that carries passages says so: a heading, a tag or numbered sources.
_CONTEXT_MARK = re.compile(
    r"(?im)^\W{0,8}(?:context|documents?|passages?|sources?|background|reference(?:s| material)?|knowledge|excerpts?|"
    r"search results)\b[^\n]{0,60}:|<(?:context|documents?|passages?|sources?)\b[^>]{0,80}>|^[ \t]{0,8}\[\d+\]"
)
_QUESTION_MARK = re.compile(r"(?im)^\W{0,8}(?:question|query|user question)\s*:.*\Z", re.DOTALL)


def find_passages(spans: Sequence[Span], question: str) -> tuple[tuple[str, ...], PassagesSource]:
    """Return the texts in order of rank without repeats, and where they were found."""
    retrieved = [text for span in spans if _is_retriever(span) for text in _retrieved_texts(span)]
    if retrieved:
        return tuple(dict.fromkeys(retrieved)), "retriever"
    for span in reversed([span for span in spans if span.span_type in LLM_TYPES]):
        if prompted := tuple(dict.fromkeys(_prompted_texts(messages_in(span.inputs), question))):
            return prompted, "prompt"
    return (), "none"


def _is_retriever(span: Span) -> bool:
    return (
        span.span_type == SpanType.RETRIEVER
        or span.attributes.get("gen_ai.operation.name") == "retrieval"
        or any(_OPENINFERENCE.match(key) for key in span.attributes)
    )


def _retrieved_texts(span: Span) -> list[str]:
    attributes = span.attributes
    numbered = sorted(
        (int(match.group(1)), str(attributes[key])) for key in attributes if (match := _OPENINFERENCE.match(key))
    )
    if numbered:
        return [text for _, text in numbered if text.strip()]
    return _document_texts(span.outputs) or _document_texts(attributes.get("gen_ai.retrieval.documents"))


def _document_texts(value: Any) -> list[str]:
    value = parsed(value)
    if isinstance(value, dict):
        nested = next((value[key] for key in _LIST_KEYS if key in value), None)
        value = nested if nested is not None else [value]
    if isinstance(value, str):
        return [value] if value.strip() else []
    if not isinstance(value, list):
        return []
    return [text for item in value if (text := _document_text(item)).strip()]


def _document_text(item: Any) -> str:
    item = parsed(item)
    if isinstance(item, str):
        return item
    if isinstance(item, list):
        return _document_text(item[0]) if item else ""
    if isinstance(item, dict):
        if "node" in item:
            return _document_text(item["node"])
        return next((content_text(item[key]) for key in _DOCUMENT_KEYS if item.get(key)), "")
    return ""


def _prompted_texts(turns: Iterable[Message], question: str) -> list[str]:
    """Return tool results, and those parts of the prompt that are marked as material to answer from."""
    texts: list[str] = []
    for turn in turns:
        if turn.role == "tool":
            texts.append(turn.content)
        elif turn.role in ("system", "user") and (mark := _CONTEXT_MARK.search(turn.content)):
            material = turn.content[mark.start() :].replace(question, "") if question else turn.content[mark.start() :]
            texts.extend(_paragraphs(_QUESTION_MARK.sub("", material)))
    return [text for text in texts if text.strip()]


def _paragraphs(text: str) -> list[str]:
    without_tags = re.sub(r"</?\w{1,40}[^>]{0,80}>", "\n", text)
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*\[\d+\])", without_tags)
    return [cleaned for part in paragraphs if (cleaned := _CONTEXT_MARK.sub("", part, count=1).strip())]


def dump(value: Any) -> str:
    """Serialise a tool's arguments or result for the sample; text stays text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
