"""OpenTelemetry's GenAI events: content in span events or log records instead of attributes.

Three generations: one event with all of it (`gen_ai.client.inference.operation.details`), one for each message
(`gen_ai.user.message` … `gen_ai.choice`, semantic-conventions 1.28 to 1.36), and one for prompt and completion
(`gen_ai.content.prompt`, `gen_ai.content.completion`, 1.27). Strands writes content blocks as JSON text into
them, Azure and Semantic Kernel the whole message into `gen_ai.event.content`.
"""

from collections.abc import Iterable
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content.messages import opened_parts
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.span_draft import Event, SpanDraft

DETAILS = "gen_ai.client.inference.operation.details"
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}


def merge_details(draft: SpanDraft) -> None:
    """Take over attributes of the details event that the span itself lacks, as if it carried its content."""
    if not draft.events or not any(_is_details(event) for event in draft.events):
        return
    for event in draft.events:
        if _is_details(event):
            for key, value in event.attributes.items():
                draft.values.setdefault(key, value)
    draft.events = [event for event in draft.events if not _is_details(event)]


def _is_details(event: Event) -> bool:
    return event.name == DETAILS or (not event.name and "gen_ai.input.messages" in event.attributes)


def _read(draft: SpanDraft) -> None:
    if draft.events and (draft.inputs is None or draft.outputs is None):
        fill_from_events(draft, draft.events)


def fill_from_events(draft: SpanDraft, events: Iterable[Event]) -> None:
    """Fill inputs and outputs that are missing from message events, or from prompt and completion events."""
    messages: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    for event in events:
        if role := _ROLES.get(event.name):
            messages.append(_message(draft, event, role))
        elif event.name == "gen_ai.choice":
            choices.append(_choice(draft, event, len(choices)))
        elif event.name == "gen_ai.content.prompt":
            draft.inputs = draft.inputs or event.attributes.get("gen_ai.prompt")
        elif event.name == "gen_ai.content.completion":
            draft.outputs = draft.outputs or event.attributes.get("gen_ai.completion")
    if draft.inputs is None and messages:
        draft.inputs = _tool_input(messages) if draft.type == SpanType.TOOL else {"messages": messages}
    if draft.outputs is None and choices:
        draft.outputs = choices[-1]["message"]["content"] if draft.type == SpanType.TOOL else {"choices": choices}


def _tool_input(messages: list[dict[str, Any]]) -> Any:
    return next((message["content"] for message in messages if message["role"] == "tool"), {"messages": messages})


def _message(draft: SpanDraft, event: Event, role: str) -> dict[str, Any]:
    fields = _fields(draft, event)
    message = {"role": fields.get("role") or role, "content": opened_parts(fields.get("content"))}
    if calls := draft.loads(fields.get("tool_calls")):
        message["tool_calls"] = calls
    if role == "tool" and (call_id := fields.get("id") or fields.get("tool_call_id")):
        message["tool_call_id"] = call_id
    return message


def _choice(draft: SpanDraft, event: Event, index: int) -> dict[str, Any]:
    fields = _fields(draft, event)
    message = draft.loads(fields.get("message", fields))
    if not isinstance(message, dict):
        message = {"content": message}
    answer = {"role": message.get("role") or "assistant", "content": opened_parts(message.get("content"))}
    if calls := draft.loads(message.get("tool_calls") or fields.get("tool_calls")):
        answer["tool_calls"] = calls
    return {"index": fields.get("index", index), "finish_reason": fields.get("finish_reason"), "message": answer}


def _fields(draft: SpanDraft, event: Event) -> dict[str, Any]:
    for key in ("gen_ai.event.content", "body"):
        content = draft.loads(event.attributes.get(key))
        if isinstance(content, dict):
            return content
    return event.attributes


GENAI_EVENTS = Dialect(roots=frozenset({"gen_ai"}), before=_read)
