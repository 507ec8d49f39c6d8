"""The passages an answer should rest on: from retriever spans, or else from the prompt."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content import encodable, messages_in
from qualitrace_collector.convert.documents import documents
from qualitrace_collector.convert.stored import AnySpan
from qualitrace_collector.samples import Message, PassagesSource

LLM_TYPES = (SpanType.CHAT_MODEL, SpanType.LLM)

# A prompt that carries passages says so: a tag, a heading or numbered sources.
_KINDS = r"context|documents?|passages?|sources?|background|references?|knowledge|excerpts?|search results"
_TAG = re.compile(rf"(?i)<(/?)({_KINDS})\b[^<>]{{0,80}}>")
_HEADING = re.compile(rf"(?im)^\W{{0,8}}(?:{_KINDS})\b[^\n:]{{0,60}}:|^[ \t]{{0,8}}\[\d+\]")
_QUESTION = re.compile(r"(?ims)^\W{0,8}(?:user )?(?:question|query)\s*:(.*)\Z")


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


def split_prompt(text: str) -> tuple[str, list[str]]:
    """Split a prompt into the question and the material to answer from; all question if nothing is marked."""
    outside, tagged = _split_tagged(text)
    if tagged:
        return outside.strip(), [part for block in tagged for part in _paragraphs(block)]
    if not (heading := _HEADING.search(text)):
        return text, []
    asked = _QUESTION.search(text)
    end = asked.start() if asked else len(text)
    material = text[heading.start() : end] if heading.start() < end else text[heading.start() :]
    return asked.group(1).strip() if asked else text, _paragraphs(material)


def _split_tagged(text: str) -> tuple[str, list[str]]:
    """Split off what stands between a tag and the next end of its kind, in time linear in the text."""
    tags = list(_TAG.finditer(text))
    last_end = {tag.group(2).lower(): tag.start() for tag in tags if tag.group(1)}
    outside: list[str] = []
    inside: list[str] = []
    position, opened = 0, None
    for tag in tags:
        is_end, kind = bool(tag.group(1)), tag.group(2).lower()
        if opened is None:
            opened = tag if not is_end and last_end.get(kind, 0) > tag.start() else None
        elif is_end and kind == opened.group(2).lower():
            outside.append(text[position : opened.start()])
            inside.append(text[opened.end() : tag.start()])
            position, opened = tag.end(), None
    return "".join([*outside, text[position:]]), inside


def _prompted_texts(turns: Iterable[Message], question: str) -> list[str]:
    """Return tool results, and those parts of the prompt that are marked as material to answer from."""
    texts: list[str] = []
    for turn in turns:
        if turn.role == "tool":
            texts.append(turn.content)
        elif turn.role in ("system", "user"):
            texts.extend(part for part in split_prompt(turn.content)[1] if part != question)
    return [text for text in texts if text.strip()]


def _paragraphs(text: str) -> list[str]:
    parts = re.split(r"\n\s*\n|\n(?=[ \t]*\[\d+\])", text)
    return [cleaned for part in parts if (cleaned := _HEADING.sub("", part, count=1).strip())]


def dump(value: Any) -> str:
    """Serialise a tool's arguments or result for the sample; text stays text."""
    return encodable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
