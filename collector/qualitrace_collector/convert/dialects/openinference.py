"""OpenInference (Arize): the conventions of its python/openinference-semantic-conventions package.

Lists are flattened into numbered attributes (`llm.input_messages.0.message.role`).
"""

from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content import at, is_blank
from qualitrace_collector.convert.content.documents import document_of
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.numbered_attributes import openinference_messages, subtree
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import CACHE_READ, whole

_KINDS = {
    "LLM": SpanType.LLM,
    "CHAIN": SpanType.CHAIN,
    "AGENT": SpanType.AGENT,
    "TOOL": SpanType.TOOL,
    "RETRIEVER": SpanType.RETRIEVER,
    "EMBEDDING": SpanType.EMBEDDING,
    "RERANKER": SpanType.RERANKER,
    "GUARDRAIL": SpanType.GUARDRAIL,
    "EVALUATOR": SpanType.EVALUATOR,
    "PROMPT": SpanType.CHAIN,
}
_REQUEST_KEYS = ("messages", "input", "contents")
_RESPONSE_KEYS = ("choices", "output", "content", "candidates")
_PREPARING = "._prepare"


def _read(draft: SpanDraft) -> None:
    kind = draft.type or draft.text(("openinference.span.kind",))
    if kind == "LLM":
        _read_call(draft)
    elif kind == "RETRIEVER":
        draft.outputs = openinference_documents(draft, "retrieval.documents.") or draft.outputs
    elif kind == "RERANKER":
        draft.outputs = openinference_documents(draft, "reranker.output_documents.") or draft.outputs


def openinference_documents(draft: SpanDraft, prefix: str) -> list[dict[str, Any]]:
    """Read documents from numbered attributes (`retrieval.documents.0.document.content`)."""
    items = [item.get("document") for item in subtree(draft.values, prefix) if isinstance(item, dict)]
    return [document for item in items if isinstance(item, dict) and (document := document_of(item))]


def _read_call(draft: SpanDraft) -> None:
    if _PREPARING in draft.span.name:  # LlamaIndex's builders of a request: no call is made
        draft.type = SpanType.CHAIN
        return
    if not _is_request(draft.loads(draft.values.get("input.value"))):
        messages = openinference_messages(draft, "llm.input_messages.")
        prompts = _texts(draft, "llm.prompts.", "prompt") or draft.first(("llm.prompts",))  # LlamaIndex sends a list
        draft.inputs = {"messages": messages} if messages else prompts
    if not _is_response(draft.loads(draft.values.get("output.value"))):
        messages = openinference_messages(draft, "llm.output_messages.")
        choices = [{"index": index, "message": message} for index, message in enumerate(messages)]
        if any(message.get("content") or message.get("tool_calls") for message in messages):
            draft.outputs = {"choices": choices}
        elif not is_blank(draft.loads(draft.values.get("output.value"))):
            draft.outputs = draft.values["output.value"]  # items of OpenAI's Responses, of which only roles are listed
        else:
            draft.outputs = {"choices": choices} if choices else _texts(draft, "llm.choices.", "completion")


def _is_request(value: Any) -> bool:
    """Whether the value is a provider's request with messages, not a framework's arguments."""
    if not isinstance(value, dict):
        return False
    turns = next((value[key] for key in _REQUEST_KEYS if key in value), None)
    return isinstance(turns, list) and bool(turns) and all(isinstance(turn, dict) for turn in turns)


def _is_response(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), list) for key in _RESPONSE_KEYS)


def _texts(draft: SpanDraft, prefix: str, part: str) -> str | None:
    """Read the texts of a completions API (`llm.prompts.0.prompt.text`)."""
    found = subtree(draft.values, prefix)
    return "\n".join(str(text) for item in found if (text := at(item, part, "text")) is not None) or None


_APART = "openinference.instrumentation.claude_agent_sdk"
"""The scope of what passes on the counts of Claude's result, cached tokens apart (its `_wrappers.py`)."""

_MISNAMED = "openinference.instrumentation.litellm"
"""The scope of what reports the tokens of text as `prompt_details.cache_input` (its `_set_token_counts_from_usage`)."""


def _mend(draft: SpanDraft) -> None:
    if draft.usage and draft.scope == _APART:
        draft.usage = whole(draft.usage, apart=True)
    elif draft.usage and draft.scope == _MISNAMED and "llm.token_count.prompt_details.cache_read" not in draft.values:
        draft.usage.pop(CACHE_READ, None)
    arguments = draft.loads(draft.inputs)
    if draft.type not in CALL_TYPES and isinstance(arguments, dict) and "init_state" in arguments:
        draft.inputs = None  # LlamaIndex's workflow engine: its own state, not what was asked
    if draft.tools is None and "llm.tools.0.tool.json_schema" in draft.values:
        tools = subtree(draft.values, "llm.tools.")
        draft.tools = [draft.loads(at(tool, "tool", "json_schema")) for tool in tools]
    if draft.response_id is None and draft.type in CALL_TYPES:
        answer = draft.loads(draft.values.get("output.value"))
        if isinstance(answer, dict) and isinstance(answer.get("id"), str):
            draft.response_id = answer["id"]


OPENINFERENCE = Dialect(
    roots=frozenset({"openinference", "llm", "input", "output", "retrieval", "embedding", "reranker"}),
    types={"openinference.span.kind": _KINDS},
    inputs=("input.value", "reranker.query"),
    outputs=("output.value",),
    model=(
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
        "reranker.model_name",
    ),
    provider=("llm.provider", "llm.system"),
    tokens={
        "input_tokens": ("llm.token_count.prompt",),
        "output_tokens": ("llm.token_count.completion",),
        "total_tokens": ("llm.token_count.total",),
        "cache_read_input_tokens": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_creation_input_tokens": ("llm.token_count.prompt_details.cache_write",),
        "reasoning_tokens": ("llm.token_count.completion_details.reasoning",),
    },
    before=_read,
    after=_mend,
)
