"""OpenTelemetry's GenAI conventions, old names and new: attributes, span events and log records.

Attributes: the registry of open-telemetry/semantic-conventions-genai (docs/registry/attributes/gen-ai.md), and the
names it had before in open-telemetry/semantic-conventions. Some frameworks (Strands, AG2, LangGraph's
instrumentation) add operations of their own.

Events: three generations. One event with all of it (`gen_ai.client.inference.operation.details`), one for each message
(`gen_ai.user.message` … `gen_ai.choice`, semantic-conventions 1.28 to 1.36), and one for prompt and completion
(`gen_ai.content.prompt`, `gen_ai.content.completion`, 1.27). Strands writes content blocks as JSON text into
them, Azure and Semantic Kernel the whole message into `gen_ai.event.content`.
"""

from collections.abc import Iterable
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.content.messages import opened_parts
from qualitrace_collector.convert.dialects.dialect import Dialect, span_types, subtree, tool_call
from qualitrace_collector.convert.span_draft import RESPONDING_TYPES, Event, SpanDraft
from qualitrace_collector.convert.usage import whole

# OpenLLMetry's `llm.request.type`, and LiteLLM's names of its functions.
_REQUEST_TYPES = span_types(
    CHAT_MODEL="chat acompletion responses aresponses",
    LLM="completion text_completion atext_completion",
    EMBEDDING="embedding aembedding",
    RERANKER="rerank arerank",
)
_OPERATIONS = _REQUEST_TYPES | span_types(
    LLM="generate_content generate response fetch_response",
    EMBEDDING="embeddings",
    RETRIEVER="retrieval vector_db_retrieve",
    TOOL="execute_tool",
    AGENT="invoke_agent create_agent invoke_swarm invoke_graph handoff",
    WORKFLOW="invoke_workflow",
    CHAIN="execute_event_loop_cycle",
    TASK="execute_task plan",
    GUARDRAIL="guardrail",
    MEMORY="search_memory create_memory update_memory upsert_memory delete_memory create_memory_store "
    "delete_memory_store",
)
_TOKENS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens gen_ai.usage.cache_read_input_tokens "
        "gen_ai.usage.details.cache_read_tokens gen_ai.usage.details.cached_tokens "
        "gen_ai.usage.details.cache_read_input_tokens gen_ai.usage.input_tokens.cached gen_ai.usage.cached_tokens "
        "gen_ai.usage.cache_read_tokens"
    ).split(),
    "cache_creation_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens gen_ai.usage.cache_creation.input_tokens "
        "gen_ai.usage.cache_creation_input_tokens gen_ai.usage.cache_write_input_tokens "
        "gen_ai.usage.details.cache_write_tokens gen_ai.usage.details.cache_creation_input_tokens "
        "gen_ai.usage.input_tokens.cache_write gen_ai.usage.cache_write_tokens"
    ).split(),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens gen_ai.usage.reasoning_tokens gen_ai.usage.details.reasoning_tokens "
        "gen_ai.usage.output_tokens.reasoning"
    ).split(),
}

# Scope of OpenLLMetry's Bedrock, which passes on the counts of AWS's Converse: without cached tokens in the input.
_CACHE_APART = "opentelemetry.instrumentation.bedrock"

_PROMPT = ("gen_ai.prompt.name", "gen_ai.prompt.version")
_CONTENT = ("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages")
_DETAILS = "gen_ai.client.inference.operation.details"
_ROLES = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def _read(draft: SpanDraft) -> None:
    if draft.type is None and "gen_ai.operation.name" not in draft.values:
        draft.type = _type_without_operation(draft)
    if draft.inputs is None and (messages := draft.first(("gen_ai.input.messages",))) is not None:
        draft.inputs = _with_instructions(draft, messages)


def _type_without_operation(draft: SpanDraft) -> str | None:
    """Find the type of a span from before `gen_ai.operation.name`, by attributes that only such spans carry."""
    values = draft.values
    if "gen_ai.tool.name" in values or "gen_ai.tool.call.id" in values:
        return SpanType.TOOL
    if request := draft.text(("llm.request.type",)):
        return _REQUEST_TYPES.get(request)
    if ("gen_ai.request.model" in values or "gen_ai.response.model" in values) and (
        draft.count(_TOKENS["input_tokens"]) is not None
        or any(key.startswith(_CONTENT) and key not in _PROMPT for key in values)
    ):
        return SpanType.CHAT_MODEL
    return None


def _with_instructions(draft: SpanDraft, messages: Any) -> Any:
    """Put the system instructions, which have an attribute of their own, before the messages."""
    instructions = draft.loads(draft.first(("gen_ai.system_instructions",)))
    opened = draft.loads(messages)
    if not instructions or not isinstance(opened, list):
        return messages
    if opened and isinstance(opened[0], dict) and opened[0].get("role") == "system":
        return messages
    parts = instructions if isinstance(instructions, list) else [{"type": "text", "content": str(instructions)}]
    return [{"role": "system", "parts": parts}, *opened]


def _complete(draft: SpanDraft) -> None:
    if draft.usage and draft.scope == _CACHE_APART:
        draft.usage = whole(draft.usage, apart=True)
    if draft.type == SpanType.RETRIEVER:
        if draft.inputs is None:
            draft.inputs = draft.first(("gen_ai.retrieval.query.text",))
        if draft.outputs is None and (found := documents(draft.loads(draft.first(("gen_ai.retrieval.documents",))))):
            draft.outputs = found
    if draft.type is not None and draft.type not in RESPONDING_TYPES:
        return
    if draft.inputs is None and (messages := _numbered(draft, "gen_ai.prompt.")):
        draft.inputs = {"messages": messages}
    if draft.outputs is None or draft.outputs is draft.values.get("gen_ai.output.messages"):
        draft.outputs = _outputs(draft)


def _outputs(draft: SpanDraft) -> Any:
    """Return the output messages, with the tool calls that LiteLLM leaves out of them (`gen_ai.completion.…`)."""
    messages = draft.first(("gen_ai.output.messages",))
    numbered = _numbered(draft, "gen_ai.completion.")
    opened = draft.loads(messages)
    if messages is None and numbered:
        return {
            "choices": [
                {"index": index, "finish_reason": message.pop("finish_reason", None), "message": message}
                for index, message in enumerate(numbered)
            ]
        }
    calls = [call for message in numbered for call in message.get("tool_calls", ())] if isinstance(opened, list) else []
    return [*opened, {"role": "assistant", "tool_calls": calls}] if calls else messages


def _numbered(draft: SpanDraft, prefix: str) -> list[dict[str, Any]]:
    """Read OpenLLMetry's messages from attributes like `gen_ai.prompt.0.content`."""
    return [_numbered_message(item) for item in subtree(draft.values, prefix) if isinstance(item, dict)]


def _numbered_message(item: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": item.get("role") or "assistant", "content": opened_parts(item.get("content"))}
    calls = item.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    if isinstance(function := item.get("function_call"), dict):  # LiteLLM's form of a single call
        listed = [*listed, function]
    if listed:
        message["tool_calls"] = [tool_call(call.get("id"), call) for call in listed if isinstance(call, dict)]
    return message | {key: item[key] for key in ("tool_call_id", "finish_reason") if key in item}


GENAI = Dialect(
    name="opentelemetry-genai",
    roots={"gen_ai"},
    types={"gen_ai.operation.name": _OPERATIONS},
    inputs=("gen_ai.tool.call.arguments", "gen_ai.prompt", "gen_ai.embeddings.input"),
    outputs=("gen_ai.output.messages", "gen_ai.tool.call.result", "gen_ai.completion"),
    tools=("gen_ai.tool.definitions",),
    tool_name=("gen_ai.tool.name",),
    model=("gen_ai.response.model", "gen_ai.request.model"),
    provider=("gen_ai.provider.name", "gen_ai.system"),
    response_id=("gen_ai.response.id",),
    prompt_name=_PROMPT[:1],
    prompt_version=_PROMPT[1:],
    tokens=_TOKENS,
    # LiteLLM's `gen_ai.cost.*`; OpenLIT's and Langfuse's `gen_ai.usage.cost`; OpenRouter's broadcast and any-agent's
    # `gen_ai.usage.*_cost`; Pydantic AI's and Logfire's `operation.cost`; the proposal for OpenTelemetry `….amount`.
    costs={
        "total_cost": (
            "gen_ai.cost.total_cost gen_ai.usage.cost.amount gen_ai.usage.cost gen_ai.usage.total_cost "
            "gen_ai.usage.cost.total gen_ai.usage.cost_usd gen_ai.cost.total gen_ai.cost.amount gen_ai.cost "
            "operation.cost"
        ).split(),
        "input_cost": ("gen_ai.cost.input_cost", "gen_ai.usage.input_cost", "gen_ai.cost.input"),
        "output_cost": ("gen_ai.cost.output_cost", "gen_ai.usage.output_cost", "gen_ai.cost.output"),
    },
    before=_read,
    after=_complete,
)


def merge_details(draft: SpanDraft) -> None:
    """Copy the attributes of the details event to the span where it lacks them."""
    if not any(_is_details(event) for event in draft.events):
        return
    for event in draft.events:
        if _is_details(event):
            for key, value in event.attributes.items():
                draft.values.setdefault(key, value)
    draft.events = [event for event in draft.events if not _is_details(event)]


def _is_details(event: Event) -> bool:
    return event.name == _DETAILS or (not event.name and "gen_ai.input.messages" in event.attributes)


def _read_events(draft: SpanDraft) -> None:
    if draft.events and (draft.inputs is None or draft.outputs is None):
        fill_from_events(draft, draft.events)


def fill_from_events(draft: SpanDraft, events: Iterable[Event]) -> None:
    """Fill inputs and outputs that are missing from message events, or from prompt and completion events."""
    messages: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    for event in events:
        if role := _ROLES.get(event.name):
            messages.append(_event_turn(draft, event, role))
        elif event.name == "gen_ai.choice":
            choices.append(_event_choice(draft, event, len(choices)))
        elif event.name == "gen_ai.content.prompt":
            draft.inputs = draft.inputs or event.attributes.get("gen_ai.prompt")
        elif event.name == "gen_ai.content.completion":
            draft.outputs = draft.outputs or event.attributes.get("gen_ai.completion")
    is_tool = draft.type == SpanType.TOOL
    if draft.inputs is None and messages:
        given = [message["content"] for message in messages if is_tool and message["role"] == "tool"]
        draft.inputs = given[0] if given else {"messages": messages}
    if draft.outputs is None and choices:
        draft.outputs = choices[-1]["message"]["content"] if is_tool else {"choices": choices}


def _event_turn(draft: SpanDraft, event: Event, role: str) -> dict[str, Any]:
    fields = _body(draft, event)
    message = _chat_message(draft, fields, role, fields.get("tool_calls"))
    if role == "tool" and (call_id := fields.get("id") or fields.get("tool_call_id")):
        message["tool_call_id"] = call_id
    return message


def _event_choice(draft: SpanDraft, event: Event, index: int) -> dict[str, Any]:
    fields = _body(draft, event)
    message = draft.loads(fields.get("message", fields))
    if not isinstance(message, dict):
        message = {"content": message}
    answer = _chat_message(draft, message, "assistant", message.get("tool_calls") or fields.get("tool_calls"))
    return {"index": fields.get("index", index), "finish_reason": fields.get("finish_reason"), "message": answer}


def _chat_message(draft: SpanDraft, fields: dict[str, Any], role: str, calls: Any) -> dict[str, Any]:
    message = {"role": fields.get("role") or role, "content": opened_parts(fields.get("content"))}
    return message | {"tool_calls": opened} if (opened := draft.loads(calls)) else message


def _body(draft: SpanDraft, event: Event) -> dict[str, Any]:
    """Return an event's fields: of a log record's body, or of the message that Azure writes into one attribute."""
    bodies = (draft.loads(event.attributes.get(key)) for key in ("gen_ai.event.content", "body"))
    return next((body for body in bodies if isinstance(body, dict)), event.attributes)


GENAI_EVENTS = Dialect(name="opentelemetry-genai", roots={"gen_ai"}, before=_read_events)
