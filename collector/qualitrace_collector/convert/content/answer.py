"""Reads what was answered: what a model said, or what a chain, a framework or a function returned.

A model's text is the whole answer, whatever it looks like. All other outputs are read by their keys, in this order:
turns of an assistant; an answer by its name; the only text there is. Otherwise the answer is the value as it was sent,
so that recorded output never becomes an empty answer. What the outputs only repeat of the inputs is left out.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from qualitrace_collector.convert.content import forms
from qualitrace_collector.convert.content.messages import (
    is_part,
    is_silent,
    joined,
    messages_in,
    part_text,
    parts_text,
    role_of,
    spoken,
    whole_response,
    without_files,
)
from qualitrace_collector.convert.content.opening import MAX_DEPTH, as_sent, is_blank, opened, parsed
from qualitrace_collector.convert.content.question import asked
from qualitrace_collector.sample import Message

_MATERIAL = frozenset(forms.MATERIAL_KEYS)
_BESIDE_ANSWERS = _MATERIAL.union(forms.HISTORY_KEYS, forms.THOUGHT_KEYS, forms.SIDE_KEYS)


class _Given:
    """A span's inputs, to compare its outputs with; each part is read once."""

    def __init__(self, inputs: Any) -> None:
        self._value = opened(inputs)

    @cached_property
    def _question(self) -> str:
        return asked(self._value).question

    @cached_property
    def turns(self) -> Sequence[Message]:
        return messages_in(self._value)

    def left_out(self, value: Any) -> Any:
        """Return a mapping without values of the inputs under the same key and without the question; others as is."""
        if not isinstance(value, dict) or self._value is None or role_of(value):
            return value
        rest = {key: item for key, item in value.items() if not self._repeats(key, item)}
        return rest or value

    def _repeats(self, key: str, item: Any) -> bool:
        if isinstance(self._value, dict) and key in self._value:
            given = self._value[key]
            if item == given or (isinstance(item, (dict, list)) and opened(given) == item):
                return True
        return isinstance(item, str) and item != "" and item == self._question


def answer_text(outputs: Any, inputs: Any = None, *, from_model: bool = False) -> str:
    """Return what was answered, empty if nothing was.

    Args:
        outputs: what a span recorded.
        inputs: the same span's inputs, of which the answer repeats nothing.
        from_model: a model's call recorded it: JSON that is not a provider's response is what the model wrote.
    """
    try:
        return _model_answer(outputs) if from_model else _own_answer(outputs, _Given(inputs))
    except RecursionError:  # nested deeper than the stack
        return as_sent(outputs)


def is_material(outputs: Any, inputs: Any = None) -> bool:
    """Whether outputs hold only material for an answer, apart from what they repeat of the inputs."""
    rest = _Given(inputs).left_out(outputs)
    return isinstance(rest, dict) and rest.keys() <= _MATERIAL


def _own_answer(outputs: Any, given: _Given) -> str:
    value = opened(outputs)
    if isinstance(value, str):
        return spoken(as_sent(value))
    if is_blank(value):
        return ""
    value = given.left_out(value)
    found = _found(value, given)
    return _whole(value) if found is None else found


def _model_answer(outputs: Any) -> str:
    value = parsed(outputs)
    if not isinstance(value, str) and is_blank(value):
        return ""
    found = _response_text(opened(value))
    # Text that only looks like a response, in Python's form for example, is the model's own.
    return spoken(as_sent(outputs)) if found is None or (isinstance(value, str) and not found) else found


def _response_text(value: Any, depth: int = 0) -> str | None:
    """Return the text of a provider's response, None if the value is none."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, list):
        return _listed_response(value, depth + 1)
    if not isinstance(value, dict):
        return None
    if role_of(value):
        return _first_said(messages_in(value))
    if not _is_response(value):
        return None
    items = ((key, value.get(key)) for key in forms.MODEL_REPLY_KEYS)
    texts = (_reply_text(key, item, depth) for key, item in items if not is_blank(item))
    return next(filter(None, texts), "")


def _reply_text(key: str, item: Any, depth: int) -> str:
    """Return the text under one of the keys of a provider's response."""
    if key in forms.CHOICE_KEYS and isinstance(item, list):
        return _first_choice(item, depth, from_model=True)
    if isinstance(item, str):
        return spoken(as_sent(item)) if key != "object" else ""  # the name of OpenAI's type of response
    text = _response_text(opened(item), depth + 1)
    return as_sent(item) if text is None and key in ("object", "text", "response") else text or ""


def _is_response(value: dict[str, Any]) -> bool:
    """Whether a mapping is a provider's response, not JSON that a model wrote."""
    is_bare = len(value) == 1 and value.keys() <= {"text", "content", "output"}
    is_coheres = {"text", "generation_id"} <= value.keys()
    return is_bare or is_coheres or not forms.MODEL_REPLY_SIGNS.isdisjoint(value)


def _listed_response(items: list[Any], depth: int = 0) -> str | None:
    """Return the text of chunks, parts, choices or messages."""
    if (response := whole_response(items)) is not None:
        return _response_text(response, depth + 1)
    if (text := joined(items) or _joined_tokens(items)) is not None:
        return spoken(text)
    if turns := messages_in(items):
        choices = len(turns) > 1 and all(isinstance(item, dict) and "finish_reason" in item for item in items)
        return _first_said(turns) if choices else _last_said(turns)
    if items and all(isinstance(item, dict) and is_part(item) for item in items):
        return spoken(parts_text(items))
    if len(items) == 1:
        return spoken(items[0]) if isinstance(items[0], str) else _response_text(opened(items[0]), depth + 1)
    return None


def _joined_tokens(items: Sequence[Any]) -> str | None:
    """Join the tokens that a generator yielded; None if the texts are items of a list."""
    # Tokens contain the blanks between words, items of a list do not.
    if len(items) < 2 or not all(isinstance(item, str) for item in items):
        return None
    inner = [*items[1:], *(item for item in items[:-1] if item[-1:].isspace())]
    return "".join(items) if any(item[:1].isspace() or item[-1:].isspace() for item in inner) else None


def _added_up(items: Sequence[Any], keys: Sequence[str]) -> dict[str, Any] | None:
    """Add up mappings of one key each, as LangChain's chains stream their outputs; None for other lists."""
    if len(items) < 2 or not all(isinstance(item, dict) and len(item) == 1 for item in items):
        return None
    total: dict[str, Any] = {}
    for item in items:
        ((key, value),) = item.items()
        before = total.get(key)
        total[key] = before + value if isinstance(before, str) and isinstance(value, str) else value
    return total if len(total) < len(items) and not total.keys().isdisjoint(keys) else None


def _first_choice(items: list[Any], depth: int, *, from_model: bool) -> str:
    """Return the first alternative with words in it, which is the one that apps show."""
    if depth > MAX_DEPTH:
        return ""
    for item in items:
        choice = item if from_model else opened(item)
        if text := spoken(as_sent(choice)) if isinstance(choice, str) else _choice_text(choice, depth + 1):
            return text
    return ""


def _choice_text(choice: Any, depth: int) -> str:
    if isinstance(choice, list):  # LangChain: one list of generations for each prompt
        return _first_choice(choice, depth, from_model=True)
    if not isinstance(choice, dict):
        return ""
    if turns := messages_in(choice):
        return _first_said(turns)
    text = next(filter(None, (parts_text(choice.get(key)) for key in forms.CHOICE_TEXT_KEYS)), "")
    return spoken(text) if text else _found(choice, _Given(None), depth) or ""


def _first_said(turns: Sequence[Message]) -> str:
    return next((turn.content for turn in turns if turn.role == "assistant" and turn.content.strip()), "")


def _last_said(turns: Sequence[Message], given: Sequence[Message] = ()) -> str:
    """Return the assistant's last words since the user's last turn, or else its last that were not given."""
    last_ask = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    known = {turn.content for turn in given}
    said = [(at, turn.content) for at, turn in enumerate(turns) if turn.role == "assistant" and turn.content.strip()]
    since = [text for at, text in said if at > last_ask] or [text for _, text in said if text not in known]
    return since[-1] if since else ""


def _found(value: Any, given: _Given, depth: int = 0) -> str | None:
    """Return the answer that a value holds under known names, None if there is none."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        return spoken(as_sent(value)) if value.strip() else None
    if isinstance(value, list):
        return _in_list(value, given, depth)
    if isinstance(value, dict):
        return _last_said(messages_in(value)) if role_of(value) else _in_mapping(value, given, depth)
    return None


def _in_list(items: list[Any], given: _Given, depth: int) -> str | None:
    if (total := _added_up(items, forms.ANSWER_KEYS)) is not None:
        return _found(total, given, depth + 1)
    if (text := _listed_response(items)) is not None:
        return text
    return _found(opened(items[0]), given, depth + 1) if len(items) == 1 else None


def _in_mapping(value: dict[str, Any], given: _Given, depth: int) -> str | None:
    for key in forms.CHOICE_KEYS:
        items = value.get(key)
        if isinstance(items, list) and items and (text := _first_choice(items, depth, from_model=False)):
            return text
    for key in forms.ANSWER_KEYS:
        if (text := _under(key, value.get(key), given, depth)) is not None:
            return text
    structured = value.get("structured_response")  # of LangChain's agents
    if structured is not None:
        structured = _found(opened(structured), given, depth + 1) or as_sent(structured)
    if turns := messages_in({key: value[key] for key in ("messages", *forms.HISTORY_KEYS) if key in value}):
        return _last_said(turns, given.turns) or structured or ""
    return structured or _in_branch(value, given, depth) or _only_text(value)


def _under(key: str, item: Any, given: _Given, depth: int) -> str | None:
    """Return the answer under a key that usually holds one."""
    if item is None or is_blank(item):
        return None
    item = opened(item)
    if isinstance(item, (bool, int, float)):
        return as_sent(item) if key in forms.STRONG_ANSWER_KEYS else None
    item = given.left_out(item)
    found = _found(item, given, depth + 1)
    if found is None and key in forms.STRONG_ANSWER_KEYS and isinstance(item, (dict, list)):
        return _whole(item)
    return found


def _in_branch(value: dict[str, Any], given: _Given, depth: int) -> str | None:
    """Return the answer of the only component that gives one: Haystack's pipelines, LangGraph's updates."""
    found: set[str] = set()
    rest = (item for key, item in value.items() if key not in forms.ANSWER_KEYS)  # these were looked into
    for item in rest:
        inner = opened(item) if not isinstance(item, str) else item
        if depth < MAX_DEPTH and isinstance(inner, dict) and not forms.STRONG_ANSWER_KEYS.isdisjoint(inner):
            found.add(_in_mapping(inner, given, depth + 1) or "")
    found.discard("")
    return found.pop() if len(found) == 1 else None


def _only_text(value: dict[str, Any]) -> str | None:
    """Return the text of a mapping that holds nothing else beside thoughts, material and figures."""
    rest = [item for key, item in value.items() if key not in _BESIDE_ANSWERS and not is_blank(item)]
    return spoken(as_sent(rest[0])) if len(rest) == 1 and isinstance(rest[0], str) else None


def _whole(value: Any) -> str:
    """Return a structured answer as it was sent, without its thoughts; empty if it holds no words of the speaker."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key not in forms.THOUGHT_KEYS} or value
        if is_silent(value) and not part_text(value):
            return ""
    if isinstance(value, list) and value and all(isinstance(item, dict) and is_silent(item) for item in value):
        return ""
    return without_files(as_sent(value))
