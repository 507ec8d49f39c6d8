"""Text out of the many shapes in which libraries record inputs and outputs.

A message is a mapping with a role (`role`, or LangChain's `type` or class name) and content (a string, a list of
parts, or LangChain's nested `data`/`kwargs`). Everything else is searched for messages by the keys that libraries
wrap them in, and failing that for a single piece of text.
"""

import json
from collections.abc import Iterable
from typing import Any

from qualitrace_collector.samples import Message

_ROLES = {
    "human": "user",
    "humanmessage": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "model": "assistant",
    "developer": "system",
    "systemmessage": "system",
    "toolmessage": "tool",
    "function_call_output": "tool",
}
_KNOWN_ROLES = {"user", "assistant", "system", "tool"}
_WRAPPERS = tuple(
    "messages input inputs contents history outputs output generations choices candidates message response result "
    "update data kwargs raw_output replies content".split()
)
_TEXT_KEYS = tuple(
    "question query query_str prompt input inputs input_str text content answer response output outputs output_text "
    "completion result value page_content str_or_query_bundle query_bundle body parts blocks data kwargs raw".split()
)
_SILENT_PARTS = frozenset(
    "blob file uri image image_url input_image audio input_audio video reasoning thinking redacted_thinking".split()
)
"""Types of parts that are no text to read as a question or an answer."""

_TOOL_RESULTS = frozenset({"tool_call_response", "tool_result", "tool-result", "function_call_output"})
_TOOL_RESULT_KEYS = {"toolResult", "functionResponse", "function_response"}
MAX_DEPTH = 12


def encodable(text: str) -> str:
    """Replace lone surrogates (JSON escapes can hold them), which neither databases nor HTTP can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def parsed(value: Any) -> Any:
    """Open a string that holds a JSON object or array; return anything else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):  # no JSON, or nested deeper than the stack
            return value
    return value


def messages_in(value: Any, depth: int = 0) -> list[Message]:
    """Find the conversation recorded in `value`, oldest turn first."""
    value = parsed(value)
    if depth > MAX_DEPTH:
        return []
    if isinstance(value, list):
        if len(value) == 2 and value[0] in (*_ROLES, *_KNOWN_ROLES) and isinstance(value[1], str):
            return [Message(role=_ROLES.get(str(value[0]), str(value[0])), content=encodable(value[1]))]
        return [message for item in value for message in messages_in(item, depth + 1)]
    if isinstance(value, dict):
        if role := _role(value):
            return [_message(role, value)]
        for key in _WRAPPERS:
            if key in value and (found := messages_in(value[key], depth + 1)):
                return found
    return []


def _message(role: str, value: dict[str, Any]) -> Message:
    """Make a message; tool results that stand in a user's turn (Anthropic, Gemini) are no words of the user.

    Nor are those in an assistant's turn (Vercel AI) words of the assistant.
    """
    parts = next((found for key in ("parts", "content") if isinstance(found := parsed(value.get(key)), list)), [])
    said = [part for part in parts if not _is_tool_result(part)]
    if role == "user" and parts and not said:
        role = "tool"
    return Message(role=role, content=content_text(said if role == "assistant" and said else value))


def _is_tool_result(part: Any) -> bool:
    return isinstance(part, dict) and (_kind(part) in _TOOL_RESULTS or bool(part.keys() & _TOOL_RESULT_KEYS))


def _kind(part: dict[str, Any]) -> str:
    return kind if isinstance(kind := part.get("type"), str) else ""


def content_text(value: Any, depth: int = 0) -> str:
    """Return the readable text in a message's content, a part, a document or any value of few keys."""
    value = parsed(value)
    if isinstance(value, str):
        return encodable(value)
    if depth > MAX_DEPTH or value is None or isinstance(value, bool):
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return "\n".join(filter(None, (content_text(item, depth + 1) for item in value)))
    if isinstance(value, dict):
        return _mapping_text(value, depth)
    return ""


def question_text(inputs: Any) -> str:
    """Return what was asked: the last user turn, else the only text there is."""
    turns = messages_in(inputs)
    return _last(turns, {"user"}) if turns else content_text(inputs)


def answer_text(outputs: Any) -> str:
    """Return what was answered: the last assistant turn with text, else the only text there is."""
    turns = messages_in(outputs)
    return _last(turns, {"assistant"}) if turns else content_text(outputs)


def _last(turns: Iterable[Message], roles: set[str]) -> str:
    texts = [turn.content for turn in turns if turn.role in roles and turn.content.strip()]
    return texts[-1] if texts else ""


def _role(value: dict[str, Any]) -> str:
    names = [value.get("role"), value.get("type")]
    path = value.get("id")
    if isinstance(path, list) and path:
        names.append(path[-1])
    for name in names:
        if isinstance(name, str):
            role = _ROLES.get(name.lower(), name.lower())
            if role in _KNOWN_ROLES:
                return role
    return ""


def _mapping_text(value: dict[str, Any], depth: int) -> str:
    if _kind(value) in _SILENT_PARTS:
        return ""
    for key in _TEXT_KEYS:
        if key in value and (text := content_text(value[key], depth + 1)):
            return text
    texts = [item for item in value.values() if isinstance(item, str)]
    return encodable(texts[0]) if len(texts) == 1 == len(value) else ""


def earlier_turns(inputs: Any) -> tuple[Message, ...]:
    """Return the user's and the assistant's turns before the question. TEMPORARY: the lead's reader replaces this."""
    turns = messages_in(inputs)
    asked = [number for number, turn in enumerate(turns) if turn.role == "user" and turn.content.strip()]
    before = turns[: asked[-1]] if asked else []
    return tuple(turn for turn in before if turn.role in ("user", "assistant") and turn.content.strip())
