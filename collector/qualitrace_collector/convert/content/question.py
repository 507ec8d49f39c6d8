"""Reads what was asked: the user's newest turn, or what a function's arguments call a question.

It looks in this order: messages with roles; a question by its name, with the turns before it; the same inside a wrapper
of the arguments; the only text there is. Otherwise the question is the value as it was sent.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from qualitrace_collector.convert.content import forms
from qualitrace_collector.convert.content.messages import (
    is_part,
    messages_in,
    part_text,
    parts_text,
    role_of,
    without_files,
)
from qualitrace_collector.convert.content.opening import MAX_DEPTH, as_sent, encodable, is_blank, opened, parsed
from qualitrace_collector.sample import Message

_QUESTION_MARKS = ("?", "？", "؟")

# How Python shows an argument without its content.
_OBJECT = re.compile(r"<[\w. ]+ object at 0x\w+>|[A-Z]\w*\(\)|<class '[\w.]+'>")


class Asked(NamedTuple):
    """A question, and the turns of user and assistant before it, oldest first."""

    question: str
    earlier: tuple[Message, ...] = ()


# What each mapping asks, by its `id()`. Keeping the mapping stops Python from giving its id to another one.
_Read = dict[int, tuple[Any, Asked | None]]


def question_text(inputs: Any) -> str:
    """Return what was asked, empty if nothing was."""
    return asked(inputs).question


def earlier_turns(inputs: Any) -> tuple[Message, ...]:
    """Return the turns of user and assistant before the question, oldest first."""
    return asked(inputs).earlier


def asked(inputs: Any, *, of_model: bool = False) -> Asked:
    """Read the question and the conversation before it.

    Args:
        inputs: what a span recorded.
        of_model: a model was given it, so that bare texts are its prompts, and the last of them the question.
    """
    value = opened(inputs)
    if of_model and isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        value = value[-1]  # Spring AI
    if isinstance(value, str):
        return Asked(without_files(encodable(value)))
    if is_blank(value):
        return Asked("")
    return _found(value, 0, {}) or Asked(_as_text(value))


def _found(value: Any, depth: int, read: _Read) -> Asked | None:
    """Return the question that a value holds under known names, None if there is none."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        return _in_list(value, depth, read)
    if isinstance(value, dict):
        return _by_turns([value]) if role_of(value) else _in_mapping(value, depth, read)
    return None


def _in_list(items: list[Any], depth: int, read: _Read) -> Asked | None:
    if found := _by_turns(items):
        return found
    if len(items) == 1 and isinstance(items[0], str):
        return Asked(encodable(items[0]))
    if len(items) == 1:
        return _found(opened(items[0]), depth + 1, read)
    mappings = [item for item in items if not isinstance(item, str)]
    if mappings and all(isinstance(item, dict) and is_part(item) for item in mappings):
        return Asked(without_files(parts_text(items)))  # the parts of one turn
    return None


def _by_turns(value: Any) -> Asked | None:
    """Split a conversation at its newest turn of the user; the question is empty if no user speaks in it."""
    turns = messages_in(value)
    asks = [at for at, turn in enumerate(turns) if turn.role == "user" and turn.content.strip()]
    if asks:
        return Asked(turns[asks[-1]].content, spoken_turns(turns[: asks[-1]]))
    return Asked("") if turns else None


def spoken_turns(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Return the turns in which the user or the assistant says anything."""
    return tuple(turn for turn in turns if turn.role in ("user", "assistant") and turn.content.strip())


def _in_mapping(value: dict[str, Any], depth: int, read: _Read) -> Asked | None:
    """Return what a mapping asks; it is reached in several ways, and read once."""
    if id(value) not in read:
        read[id(value)] = value, _mapping_question(value, depth, read)
    return read[id(value)][1]


def _mapping_question(value: dict[str, Any], depth: int, read: _Read) -> Asked | None:
    history = _history(value)
    for key in forms.QUESTION_KEYS:
        found = _under(_inside(value.get(key)), depth, read)
        if found and found.question.strip():
            return Asked(found.question, found.earlier or _without_last(history, found.question))
    if found := _by_turns(value):
        return found
    for key in forms.QUESTION_WRAPPERS:
        found = _found(opened(value.get(key)), depth + 1, read)
        if found and found.question:
            return found
    return _in_branches(value, depth, read) or _argument(opened(value.get("args")))


def _argument(args: Any) -> Asked | None:
    """Return the first of a function's positional arguments that ends as a question, or else reads as a sentence."""
    texts = [text for text in args if isinstance(text, str)] if isinstance(args, list) else []
    asks = [text for text in texts if text.rstrip().endswith(_QUESTION_MARKS)]
    said = asks or [text for text in texts if " " in text and "<" not in text[:1]]  # not a name or an id
    return Asked(without_files(encodable(said[0]))) if said else None


def _in_branches(value: dict[str, Any], depth: int, read: _Read) -> Asked | None:
    """Return the only question that components were asked: the data of Haystack's pipelines."""
    mappings = [item for item in value.values() if isinstance(item, dict)] if depth < MAX_DEPTH else []
    inner = (_in_mapping(item, depth + 1, read) for item in mappings)
    found = [item for item in inner if item and item.question]
    return found[0] if len({item.question for item in found}) == 1 else None


def _under(item: Any, depth: int, read: _Read) -> Asked | None:
    """Return what was asked under a key that usually holds a question."""
    if isinstance(item, str):
        return Asked(without_files(encodable(item)))
    if isinstance(item, list) and item and all(isinstance(text, str) for text in item):
        return Asked("\n".join(map(encodable, item)))  # the texts of an embedding
    return _found(item, depth + 1, read)


def _inside(value: Any) -> Any:
    """Open a nested value unless it is text: JSON text as an argument is the question as it was asked."""
    return value if isinstance(value, str) else opened(value)


def _history(value: dict[str, Any]) -> tuple[Message, ...]:
    """Return the turns that stand beside a question."""
    for key in forms.HISTORY_KEYS:
        item = opened(value.get(key))
        if turns := spoken_turns(messages_in(item)) or _paired(item) or _transcript(item):
            return turns
    return ()


def _paired(items: Any) -> tuple[Message, ...]:
    """Read turns kept as pairs of question and answer: LangChain's and Gradio's chat histories."""
    if not isinstance(items, list) or not items:
        return ()
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(s, str) for s in pair) for pair in items):
        return ()
    return tuple(
        Message(role=role, content=encodable(said))
        for pair in items
        for role, said in zip(("user", "assistant"), pair, strict=True)
        if said.strip()
    )


def _transcript(text: Any) -> tuple[Message, ...]:
    """Read turns kept as lines (`Human: …`, `AI: …`), as LangChain's buffer memory does."""
    if not isinstance(text, str):
        return ()
    turns: list[Message] = []
    for line in text.splitlines():
        name, colon, said = line.partition(":")
        role = forms.TRANSCRIPT_ROLES.get(name.strip().lower())
        if colon and role:
            turns.append(Message(role=role, content=encodable(said.strip())))
        elif turns:
            turns[-1] = Message(role=turns[-1].role, content=f"{turns[-1].content}\n{encodable(line)}".strip())
    return tuple(turns)


def _without_last(turns: tuple[Message, ...], question: str) -> tuple[Message, ...]:
    """Leave the question out of the turns before it, if a state holds it in both places."""
    return turns[:-1] if turns and turns[-1].role == "user" and turns[-1].content == question else turns


def _as_text(value: Any) -> str:
    """Return the only text of a mapping, else the value as it was sent."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if not (isinstance(item, str) and _OBJECT.fullmatch(item))}
        texts = [item for key, item in value.items() if key not in forms.MATERIAL_KEYS]
        if not value:
            return ""
        if len(texts) == 1 and isinstance(texts[0], str):
            return without_files(encodable(texts[0]))
        if "type" in value or "kind" in value:  # a part of a message
            return part_text(value)
    if isinstance(value, list) and all(isinstance(parsed(item), dict) for item in value):
        texts = [part_text(item) for item in value if "type" in item or "kind" in item]
        if texts:
            return "\n".join(filter(None, texts))
    return as_sent(value)
