"""Pydantic AI (formats 1 to 6 of its InstrumentationSettings) and Logfire's instrumentations of provider clients."""

from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.dialects.genai_events import fill_from_events
from qualitrace_collector.convert.span_draft import CALL_TYPES, Event, SpanDraft


def _read(draft: SpanDraft) -> None:
    values = draft.values
    if draft.type is None and "gen_ai.operation.name" not in values and "agent_name" in values:
        draft.type = SpanType.AGENT
    history = draft.loads(values.get("pydantic_ai.all_messages"))
    if isinstance(history, list) and draft.inputs is None:
        _split_history(draft, history)
    for key in ("all_messages_events", "events"):  # format 1: events as one attribute
        listed = draft.loads(values.get(key))
        if isinstance(listed, list):
            draft.outputs = draft.outputs if draft.outputs is not None else draft.first(("final_result",))
            fill_from_events(draft, _events(listed))


def _split_history(draft: SpanDraft, history: list[Any]) -> None:
    """Part a run's messages into what was asked and what came of it."""
    new = draft.count(("pydantic_ai.new_message_index",)) or 0
    answers = (n for n in range(new, len(history)) if _role(history[n]) == "assistant")
    end = next(answers, len(history))
    instructions = draft.loads(draft.values.get("gen_ai.system_instructions"))
    system = [{"role": "system", "parts": instructions}] if isinstance(instructions, list) else []
    draft.inputs = [*system, *history[:end]]
    if draft.outputs is None and "final_result" not in draft.values and end < len(history):
        draft.outputs = history[-1:]


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _events(listed: list[Any]) -> list[Event]:
    return [Event(str(item.get("event.name", "")), 0, item) for item in listed if isinstance(item, dict)]


PYDANTIC_AI = Dialect(
    roots=frozenset({"pydantic_ai", "all_messages_events", "events", "final_result", "agent_name", "tool_response"}),
    inputs=("tool_arguments",),
    outputs=("final_result", "tool_response"),
    before=_read,
)


def _mend_logfire(draft: SpanDraft) -> None:
    """Give a streamed call to the record of its end.

    Logfire ends the request's span when the stream opens, and logs a record of its own with the answer, in a trace of
    its own if there is no parent: that one is the call.
    """
    if draft.type in CALL_TYPES and draft.outputs is None and draft.values.get("logfire.span_type") == "span":
        failed = draft.span.status.code == draft.span.status.STATUS_CODE_ERROR
        if not failed and draft.usage is None and _is_provider_client(draft.scope):
            draft.type = SpanType.CHAIN


def _is_provider_client(scope: str) -> bool:
    return scope in ("logfire.openai", "logfire.anthropic")


def _read_logfire(draft: SpanDraft) -> None:
    """Read the request and response bodies of Logfire before it had GenAI messages."""
    request = draft.loads(draft.values.get("request_data"))
    if draft.inputs is None and isinstance(request, dict) and request.keys() & {"messages", "input"}:
        draft.inputs = request
        draft.model = draft.model or request.get("model")
    response = draft.loads(draft.values.get("response_data"))
    if draft.outputs is None and isinstance(response, dict):
        message = response.get("message") or response.get("combined_chunk_content")
        draft.outputs = message if message is not None else response


LOGFIRE = Dialect(roots=frozenset({"logfire"}), before=_read_logfire, after=_mend_logfire)
