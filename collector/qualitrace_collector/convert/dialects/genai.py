"""OpenTelemetry's GenAI conventions, old names and new.

Attributes: the registry of open-telemetry/semantic-conventions-genai (docs/registry/attributes/gen-ai.md), and the
names it had before in open-telemetry/semantic-conventions. Some frameworks (Strands, AG2, LangGraph's
instrumentation) add operations of their own.
"""

from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.numbered_attributes import openai_messages, subtree
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import whole

REQUEST_TYPES = {
    "chat": SpanType.CHAT_MODEL,
    "acompletion": SpanType.CHAT_MODEL,
    "responses": SpanType.CHAT_MODEL,
    "aresponses": SpanType.CHAT_MODEL,
    "completion": SpanType.LLM,
    "text_completion": SpanType.LLM,
    "atext_completion": SpanType.LLM,
    "embedding": SpanType.EMBEDDING,
    "aembedding": SpanType.EMBEDDING,
    "rerank": SpanType.RERANKER,
    "arerank": SpanType.RERANKER,
}
"""OpenLLMetry's, and LiteLLM's names of its functions."""

_MEMORY_OPERATIONS = (
    "search_memory create_memory update_memory upsert_memory delete_memory create_memory_store delete_memory_store"
)
OPERATIONS = (
    REQUEST_TYPES
    | {
        "generate_content": SpanType.LLM,
        "generate": SpanType.LLM,
        "response": SpanType.LLM,
        "fetch_response": SpanType.LLM,
        "embeddings": SpanType.EMBEDDING,
        "retrieval": SpanType.RETRIEVER,
        "vector_db_retrieve": SpanType.RETRIEVER,
        "execute_tool": SpanType.TOOL,
        "invoke_agent": SpanType.AGENT,
        "create_agent": SpanType.AGENT,
        "invoke_swarm": SpanType.AGENT,
        "invoke_graph": SpanType.AGENT,
        "invoke_workflow": SpanType.WORKFLOW,
        "execute_event_loop_cycle": SpanType.CHAIN,
        "execute_task": SpanType.TASK,
        "plan": SpanType.TASK,
        "handoff": SpanType.AGENT,
        "guardrail": SpanType.GUARDRAIL,
    }
    | dict.fromkeys(
        _MEMORY_OPERATIONS.split(),
        SpanType.MEMORY,
    )
)

TOKENS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
    "cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.cache_read_tokens",
    ),
    "cache_creation_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "gen_ai.usage.cache_write_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
    ),
}


def _read(draft: SpanDraft) -> None:
    values = draft.values
    if draft.type is None and "gen_ai.operation.name" not in values:
        draft.type = _type_without_operation(draft)
    if draft.inputs is None and (messages := draft.first(("gen_ai.input.messages",))) is not None:
        draft.inputs = _with_instructions(draft, messages)


_APART = "opentelemetry.instrumentation.bedrock"
"""The scope of OpenLLMetry's Bedrock, which passes on the counts of AWS's Converse: cached tokens are apart there."""


def _mend(draft: SpanDraft) -> None:
    if draft.usage and draft.scope == _APART:
        draft.usage = whole(draft.usage, apart=True)
    if draft.type == SpanType.RETRIEVER:
        if draft.inputs is None:
            draft.inputs = draft.first(("gen_ai.retrieval.query.text",))
        if draft.outputs is None and (found := documents(draft.loads(draft.first(("gen_ai.retrieval.documents",))))):
            draft.outputs = found
    if draft.type not in (*CALL_TYPES, SpanType.AGENT, None):
        return
    if draft.inputs is None:
        draft.inputs = _indexed(draft, "gen_ai.prompt.", "messages")
    if draft.outputs is None or draft.outputs is draft.values.get("gen_ai.output.messages"):
        draft.outputs = _outputs(draft)


def _type_without_operation(draft: SpanDraft) -> str | None:
    """Tell the type of spans from before `gen_ai.operation.name`, by what only such spans carry."""
    values = draft.values
    if "gen_ai.tool.name" in values or "gen_ai.tool.call.id" in values:
        return SpanType.TOOL
    if request := draft.text(("llm.request.type",)):
        return REQUEST_TYPES.get(request)
    if ("gen_ai.request.model" in values or "gen_ai.response.model" in values) and (
        draft.count(TOKENS["input_tokens"]) is not None or any(key.startswith(_CONTENT) for key in values)
    ):
        return SpanType.CHAT_MODEL
    return None


_CONTENT = ("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages")


def _with_instructions(draft: SpanDraft, messages: Any) -> Any:
    """Put the system instructions, which travel apart, before the messages; without any, keep the text as sent."""
    instructions = draft.loads(draft.first(("gen_ai.system_instructions",)))
    opened = draft.loads(messages)
    if not instructions or not isinstance(opened, list):
        return messages
    if opened and isinstance(opened[0], dict) and opened[0].get("role") == "system":
        return messages
    parts = instructions if isinstance(instructions, list) else [{"type": "text", "content": str(instructions)}]
    return [{"role": "system", "parts": parts}, *opened]


def _outputs(draft: SpanDraft) -> Any:
    """Return the output messages; tool calls that stand apart (`gen_ai.completion.…`) go with them."""
    messages = draft.first(("gen_ai.output.messages",))
    if messages is not None and not any(key.startswith("gen_ai.completion.") for key in draft.values):
        return messages
    indexed = _indexed(draft, "gen_ai.completion.", "choices")
    opened = draft.loads(messages)
    if indexed is None or not isinstance(opened, list):
        return indexed if messages is None else messages
    calls = [call for choice in indexed["choices"] for call in choice["message"].get("tool_calls", ())]
    return [*opened, {"role": "assistant", "tool_calls": calls}] if calls else messages


def _indexed(draft: SpanDraft, prefix: str, name: str) -> dict[str, Any] | None:
    """Read messages from attributes like `gen_ai.prompt.0.content`."""
    found = openai_messages(subtree(draft.values, prefix))
    if not found:
        return None
    if name == "messages":
        return {"messages": found}
    return {
        "choices": [
            {"index": index, "finish_reason": message.pop("finish_reason", None), "message": message}
            for index, message in enumerate(found)
        ]
    }


GENAI = Dialect(
    roots=frozenset({"gen_ai"}),
    types={"gen_ai.operation.name": OPERATIONS},
    inputs=("gen_ai.tool.call.arguments", "gen_ai.prompt", "gen_ai.embeddings.input"),
    outputs=("gen_ai.output.messages", "gen_ai.tool.call.result", "gen_ai.completion"),
    tools=("gen_ai.tool.definitions",),
    model=("gen_ai.response.model", "gen_ai.request.model"),
    provider=("gen_ai.provider.name", "gen_ai.system"),
    response_id=("gen_ai.response.id",),
    tokens=TOKENS,
    before=_read,
    after=_mend,
)
