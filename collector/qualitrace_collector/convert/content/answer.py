"""What was answered: what a model said, or what a chain, a framework or a function handed up.

A model's text is its answer whole, whatever it looks like. Keys are read in outputs of all else, in this order: what
the output only repeats of the input is left out; turns of an assistant; an answer by its name; the only text there is;
and else the value as it was sent, so that recorded output never becomes an empty answer.
"""

from collections.abc import Sequence
from typing import Any

from qualitrace_collector.convert.content.forms import (
    ANSWER_KEYS,
    CHOICE_KEYS,
    HISTORY_KEYS,
    MATERIAL_KEYS,
    MODEL_REPLY_KEYS,
    MODEL_REPLY_SIGNS,
    SIDE_KEYS,
    STRONG_ANSWER_KEYS,
    THOUGHT_KEYS,
)
from qualitrace_collector.convert.content.messages import (
    is_part,
    is_silent,
    messages_in,
    part_text,
    parts_text,
    role_of,
    spoken,
    without_files,
)
from qualitrace_collector.convert.content.opening import MAX_DEPTH, as_sent, is_blank, opened, parsed
from qualitrace_collector.convert.content.question import asked
from qualitrace_collector.convert.content.stream import added_up, joined, pieces_of_text, whole_response
from qualitrace_collector.sample import Message

_MATERIAL = frozenset(MATERIAL_KEYS)
_BESIDE_ANSWERS = _MATERIAL.union(HISTORY_KEYS, THOUGHT_KEYS, SIDE_KEYS)


def answer_text(outputs: Any, inputs: Any = None, *, from_model: bool = False) -> str:
    """Return what was answered, empty if nothing was.

    Args:
        outputs: what a span recorded.
        inputs: the same span's own, of which the answer repeats nothing.
        from_model: a model's call recorded it: JSON that is no response of a provider is what the model wrote.
    """
    try:
        return _model_answer(outputs) if from_model else _own_answer(outputs, inputs)
    except RecursionError:  # nested deeper than the stack
        return as_sent(outputs)


def _own_answer(outputs: Any, inputs: Any) -> str:
    value = opened(outputs)
    if isinstance(value, str):
        return spoken(as_sent(value))
    if is_blank(value):
        return ""
    own = opened(inputs)
    found = _found(without_echo(value, own), own)
    return _whole(value, own) if found is None else found


def _model_answer(outputs: Any) -> str:
    value = parsed(outputs)
    if isinstance(value, str):
        shown = opened(value)
        if not isinstance(shown, str) and (found := _response_text(shown)):
            return found
        return spoken(as_sent(value))
    if is_blank(value):
        return ""
    found = _response_text(opened(value))
    if found is not None:
        return found
    return spoken(as_sent(outputs))


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
    items = ((key, value.get(key)) for key in MODEL_REPLY_KEYS)
    texts = (_reply_text(key, item, depth) for key, item in items if not is_blank(item))
    return next(filter(None, texts), "")


def _reply_text(key: str, item: Any, depth: int) -> str:
    """Return the text under one of the keys of a provider's response."""
    if key in CHOICE_KEYS and isinstance(item, list):
        return _first_choice(item, depth, from_model=True)
    if isinstance(item, str):
        return spoken(as_sent(item)) if key != "object" else ""  # the name of OpenAI's type of response
    text = _response_text(opened(item), depth + 1)
    return as_sent(item) if text is None and key in ("object", "text", "response") else text or ""


def _is_response(value: dict[str, Any]) -> bool:
    """Whether a mapping is a provider's response, not JSON that a model wrote."""
    signs = value.keys() & MODEL_REPLY_SIGNS
    return bool(signs) or value.keys() == {"text"} or value.keys() == {"content"} or value.keys() == {"output"}


def _listed_response(items: list[Any], depth: int = 0) -> str | None:
    """Return the text of chunks, parts, choices or messages."""
    if (response := whole_response(items)) is not None:
        return _response_text(response, depth + 1)
    if (text := joined(items, parts_text) or pieces_of_text(items)) is not None:
        return spoken(text)
    if turns := messages_in(items):
        choices = len(turns) > 1 and all(isinstance(item, dict) and "finish_reason" in item for item in items)
        return _first_said(turns) if choices else _last_said(turns)
    if items and all(isinstance(item, dict) and is_part(item) for item in items):
        return spoken(parts_text(items))
    if len(items) == 1:
        return spoken(items[0]) if isinstance(items[0], str) else _response_text(opened(items[0]), depth + 1)
    return None


def _first_choice(items: list[Any], depth: int, *, from_model: bool) -> str:
    """Return the first of the alternatives that says anything: the one that an app shows."""
    if depth > MAX_DEPTH:
        return ""
    for item in items:
        choice = item if from_model else opened(item)
        text = spoken(as_sent(choice)) if isinstance(choice, str) else _choice_text(choice, depth + 1)
        if text:
            return text
    return ""


def _choice_text(choice: Any, depth: int) -> str:
    if isinstance(choice, list):  # LangChain: one list of generations for each prompt
        return _first_choice(choice, depth, from_model=True)
    if not isinstance(choice, dict):
        return ""
    if turns := messages_in(choice):
        return _first_said(turns)
    for key in ("message", "content", "text", "generated_text", "outputText", "output_text", "completion", "parts"):
        if text := parts_text(choice.get(key)):
            return spoken(text)
    return _found(choice, None, depth) or ""


def _first_said(turns: Sequence[Message]) -> str:
    return next((turn.content for turn in turns if turn.role == "assistant" and turn.content.strip()), "")


def _last_said(turns: Sequence[Message], before: Sequence[Message] = ()) -> str:
    """Return the assistant's last words since the user's last turn, else what is new in older turns."""
    last_ask = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    said = [turn.content for turn in turns[last_ask + 1 :] if turn.role == "assistant" and turn.content.strip()]
    if not said:
        known = {turn.content for turn in before}
        said = [t.content for t in turns if t.role == "assistant" and t.content.strip() and t.content not in known]
    return said[-1] if said else ""


def _found(value: Any, own: Any, depth: int = 0) -> str | None:
    """Return the answer that a value holds under names that are known, None if there is none."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, str):
        return spoken(as_sent(value)) if value.strip() else None
    if isinstance(value, list):
        return _in_list(value, own, depth)
    if isinstance(value, dict):
        if role_of(value):
            return _last_said(messages_in(value))
        return _in_mapping(value, own, depth)
    return None


def _in_list(items: list[Any], own: Any, depth: int) -> str | None:
    total = added_up(items, ANSWER_KEYS)
    if total is not None:
        return _found(total, own, depth + 1)
    text = _listed_response(items)
    if text is not None:
        return text
    if len(items) == 1:
        return _found(opened(items[0]), own, depth + 1)
    return None


def _in_mapping(value: dict[str, Any], own: Any, depth: int) -> str | None:
    for key in CHOICE_KEYS:
        items = value.get(key)
        if isinstance(items, list) and items and (text := _first_choice(items, depth, from_model=False)):
            return text
    for key in ANSWER_KEYS:
        if (text := _under(key, value.get(key), own, depth)) is not None:
            return text
    if turns := messages_in({key: value[key] for key in ("messages", *HISTORY_KEYS) if key in value}):
        return _last_said(turns, messages_in(own)) or _structured(value, own, depth) or ""
    return _structured(value, own, depth) or _in_branch(value, own, depth) or _only_text(value)


def _under(key: str, item: Any, own: Any, depth: int) -> str | None:
    """Return the answer under a key that usually holds one."""
    if item is None or is_blank(item):
        return None
    item = opened(item)
    if isinstance(item, (bool, int, float)):
        return as_sent(item) if key in STRONG_ANSWER_KEYS else None
    found = _found(without_echo(item, own), own, depth + 1)
    if found is None and key in STRONG_ANSWER_KEYS and isinstance(item, (dict, list)):
        return _whole(item, own)
    return found


def _structured(value: dict[str, Any], own: Any, depth: int) -> str | None:
    """Return LangChain agents' structured response."""
    item = value.get("structured_response")
    return None if item is None else _found(opened(item), own, depth + 1) or as_sent(item)


def _in_branch(value: dict[str, Any], own: Any, depth: int) -> str | None:
    """Return the answer of the only component that gives one: Haystack's pipelines, LangGraph's updates."""
    found: list[str] = []
    rest = (item for key, item in value.items() if key not in ANSWER_KEYS)  # which were looked into
    for item in rest:
        inner = opened(item) if not isinstance(item, str) else item
        if depth < MAX_DEPTH and isinstance(inner, dict) and not STRONG_ANSWER_KEYS.isdisjoint(inner):
            text = _in_mapping(inner, own, depth + 1)
            found += [text] if text else []
    return found[0] if len(set(found)) == 1 else None


def _only_text(value: dict[str, Any]) -> str | None:
    """Return the text of a mapping that holds but one beside thoughts, material and figures."""
    rest = {key: item for key, item in value.items() if key not in _BESIDE_ANSWERS and not is_blank(item)}
    ((_, item),) = rest.items() if len(rest) == 1 else (("", None),)
    return spoken(as_sent(item)) if isinstance(item, str) else None


def without_echo(value: Any, own: Any) -> Any:
    """Leave out what an output only repeats: values of the input under the same key, and the question."""
    if not isinstance(value, dict) or own is None or role_of(value):
        return value
    given = own if isinstance(own, dict) else {}
    question = asked(own).question
    rest = {
        key: item
        for key, item in value.items()
        if not (key in given and _same(item, given[key])) and not (isinstance(item, str) and item and item == question)
    }
    return rest or value


def is_material(outputs: Any, inputs: Any = None) -> bool:
    """Whether outputs hold, beside what they repeat of the input, only what an answer may rest on."""
    rest = without_echo(outputs, opened(inputs))
    return isinstance(rest, dict) and rest.keys() <= _MATERIAL


def _same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, (dict, list)) and opened(other) == one)


def _whole(value: Any, own: Any) -> str:
    """Return a structured answer as it was sent, without its thoughts and what it repeats of the input."""
    if isinstance(value, dict):
        value = without_echo(value, own)
        rest = {key: item for key, item in value.items() if key not in THOUGHT_KEYS}
        value = rest or value
        if is_silent(value) and not part_text(value):
            return ""
    if isinstance(value, list) and value and all(isinstance(item, dict) and is_silent(item) for item in value):
        return ""
    return without_files(as_sent(value))
