"""Messages that libraries flatten into numbered attributes, put together in OpenAI's chat form."""

from collections.abc import Mapping, Sequence
from typing import Any

from qualitrace_collector.convert.content import at
from qualitrace_collector.convert.content.messages import opened_parts
from qualitrace_collector.convert.span_draft import SpanDraft

MAX_INDEX = 10_000
"""A number in an attribute's name beyond this is not taken for a place in a list."""


def subtree(values: Mapping[str, Any], prefix: str) -> list[Any]:
    """Return the list under `prefix`: of `m.0.a` = 1 and `m.1.a.b` = 2 under `m.`, [{"a": 1}, {"a": {"b": 2}}]."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        if key.startswith(prefix):
            _plant(tree, key[len(prefix) :].split("."), value)
    listed = _listed(tree)
    return listed if isinstance(listed, list) else []


def _plant(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        branch = tree.setdefault(part, {})
        if not isinstance(branch, dict):  # both `a` and `a.b` were sent: the longer name wins
            branch = tree[part] = {}
        tree = branch
    if not isinstance(tree.get(path[-1]), dict):
        tree[path[-1]] = value


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    numbers = [int(key) for key in tree if key.isascii() and key.isdigit() and len(key) < 6]
    if tree and len(numbers) == len(tree) and max(numbers) <= MAX_INDEX:
        return [_listed(tree[key]) for key in sorted(tree, key=int)]
    return {key: _listed(value) for key, value in tree.items()}


def openai_messages(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Read OpenLLMetry's messages: role, content, tool_calls with name and arguments, finish_reason."""
    return [_openllmetry_message(item) for item in items if isinstance(item, dict)]


def _openllmetry_message(item: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": item.get("role") or "assistant", "content": opened_parts(item.get("content"))}
    calls = item.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    function = item.get("function_call")
    if isinstance(function, dict):  # LiteLLM's form of a single call
        listed = [*listed, function]
    if listed:
        message["tool_calls"] = [_call(call.get("id"), call) for call in listed if isinstance(call, dict)]
    message |= {key: item[key] for key in ("tool_call_id", "finish_reason") if key in item}
    return message


def openinference_messages(draft: SpanDraft, prefix: str) -> list[dict[str, Any]]:
    """Read OpenInference's messages (`…0.message.role`)."""
    items = [item.get("message") for item in subtree(draft.values, prefix) if isinstance(item, dict)]
    return [_openinference_message(item) for item in items if isinstance(item, dict)]


def _openinference_message(item: dict[str, Any]) -> dict[str, Any]:
    contents = item.get("contents")
    content = item.get("content")
    if content is None and isinstance(contents, list):
        content = [part for entry in contents if (part := _content_part(entry))] or None
    message: dict[str, Any] = {"role": item.get("role") or "assistant", "content": content}
    calls = item.get("tool_calls")
    if isinstance(calls, list):
        inner = [call["tool_call"] for call in calls if isinstance(call, dict) and "tool_call" in call]
        message["tool_calls"] = [_call(at(call, "id"), at(call, "function")) for call in inner]
    elif name := item.get("function_call_name"):
        arguments = item.get("function_call_arguments_json")
        message["tool_calls"] = [_call(None, {"name": name, "arguments": arguments})]
    message |= {key: item[key] for key in ("tool_call_id", "name") if key in item}
    return message


def _call(call_id: Any, function: Any) -> dict[str, Any]:
    fields = function if isinstance(function, dict) else {}
    call = {"type": "function", "function": {"name": fields.get("name"), "arguments": fields.get("arguments")}}
    return call if call_id is None else {"id": call_id} | call


def _content_part(entry: Any) -> dict[str, Any] | None:
    part = entry.get("message_content") if isinstance(entry, dict) else None
    if not isinstance(part, dict):
        return None
    if part.get("type") in ("text", "reasoning"):
        return {"type": part["type"], "text": part.get("text")}
    image = part.get("image")
    if isinstance(image, dict):
        return {"type": "image_url", "image_url": image.get("image", image)}
    return None if part.get("type") == "tool_use" else part
