"""OpenInference (Arize): the conventions of its python/openinference-semantic-conventions package.

Lists are flattened into numbered attributes (`llm.input_messages.0.message.role`).
"""

from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content.documents import document_of
from qualitrace_collector.convert.content.opening import at, is_blank
from qualitrace_collector.convert.dialects.dialect import Dialect, mappings_under, span_types, subtree, tool_call
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import CACHE_READ, whole

_REQUEST_KEYS = ("messages", "input", "contents")
_RESPONSE_KEYS = ("choices", "output", "content", "candidates")

# Scope of the instrumentor that passes on the counts of Claude's result, without cached tokens (its `_wrappers.py`).
_CACHE_APART = "openinference.instrumentation.claude_agent_sdk"

# Scope of the instrumentor that reports the tokens of text as `prompt_details.cache_input` (its
# `_set_token_counts_from_usage`).
_CACHE_MISNAMED = "openinference.instrumentation.litellm"


def _read(draft: SpanDraft) -> None:
    kind = draft.type or draft.text(("openinference.span.kind",))
    if kind == "LLM":
        _read_call(draft)
    elif kind == "RETRIEVER":
        draft.outputs = _documents(draft, "retrieval.documents.") or draft.outputs
    elif kind == "RERANKER":
        draft.outputs = _documents(draft, "reranker.output_documents.") or draft.outputs


def _documents(draft: SpanDraft, prefix: str) -> list[dict[str, Any]]:
    """Read documents from numbered attributes (`retrieval.documents.0.document.content`)."""
    items = mappings_under(subtree(draft.values, prefix), "document")
    return [document for item in items if (document := document_of(item))]


def _read_call(draft: SpanDraft) -> None:
    if "._prepare" in draft.span.name:  # LlamaIndex builds a request there; it makes no call
        draft.type = SpanType.CHAIN
        return
    if not _is_request(draft.loads(draft.values.get("input.value"))):
        messages = _messages(draft, "llm.input_messages.")
        prompts = _texts(draft, "llm.prompts.", "prompt") or draft.first(("llm.prompts",))  # LlamaIndex sends a list
        draft.inputs = {"messages": messages} if messages else prompts
    if not _is_response(draft.loads(draft.values.get("output.value"))):
        messages = _messages(draft, "llm.output_messages.")
        choices = [{"index": index, "message": message} for index, message in enumerate(messages)]
        if any(message.get("content") or message.get("tool_calls") for message in messages):
            draft.outputs = {"choices": choices}
        elif not is_blank(draft.loads(draft.values.get("output.value"))):
            # The numbered attributes have only the roles of the items of OpenAI's Responses API.
            draft.outputs = draft.values["output.value"]
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


def _messages(draft: SpanDraft, prefix: str) -> list[dict[str, Any]]:
    return [_message(item) for item in mappings_under(subtree(draft.values, prefix), "message")]


def _message(item: dict[str, Any]) -> dict[str, Any]:
    content, contents, calls = item.get("content"), item.get("contents"), item.get("tool_calls")
    if content is None and isinstance(contents, list):
        content = [part for entry in mappings_under(contents, "message_content") if (part := _part(entry))] or None
    message: dict[str, Any] = {"role": item.get("role") or "assistant", "content": content}
    if isinstance(calls, list):
        inner = [call["tool_call"] for call in calls if isinstance(call, dict) and "tool_call" in call]
        message["tool_calls"] = [tool_call(at(call, "id"), at(call, "function")) for call in inner]
    elif name := item.get("function_call_name"):
        arguments = item.get("function_call_arguments_json")
        message["tool_calls"] = [tool_call(None, {"name": name, "arguments": arguments})]
    return message | {key: item[key] for key in ("tool_call_id", "name") if key in item}


def _part(part: dict[str, Any]) -> dict[str, Any] | None:
    """Return a part in OpenAI's form; None for a call of a tool, which stands beside the parts, too."""
    if part.get("type") in ("text", "reasoning"):
        return {"type": part["type"], "text": part.get("text")}
    if isinstance(image := part.get("image"), dict):
        return {"type": "image_url", "image_url": image.get("image", image)}
    return None if part.get("type") == "tool_use" else part


# Arguments that are a framework's own state, not what was asked: of LlamaIndex's workflows, of smolagents' steps.
_STATES = frozenset({"init_state", "memory_step"})


def _correct(draft: SpanDraft) -> None:
    if draft.usage and draft.scope == _CACHE_APART:
        draft.usage = whole(draft.usage, apart=True)
    elif (
        draft.usage
        and draft.scope == _CACHE_MISNAMED
        and "llm.token_count.prompt_details.cache_read" not in draft.values
    ):
        draft.usage.pop(CACHE_READ, None)
    arguments = draft.loads(draft.inputs)
    if draft.type not in CALL_TYPES and isinstance(arguments, dict) and not _STATES.isdisjoint(arguments):
        draft.inputs = None
    if draft.tools is None and "llm.tools.0.tool.json_schema" in draft.values:
        tools = subtree(draft.values, "llm.tools.")
        draft.tools = [draft.loads(at(tool, "tool", "json_schema")) for tool in tools]
    if draft.response_id is None and draft.type in CALL_TYPES:
        answer = draft.loads(draft.values.get("output.value"))
        if isinstance(answer, dict) and isinstance(answer.get("id"), str):
            draft.response_id = answer["id"]


OPENINFERENCE = Dialect(
    name="openinference",
    roots={"openinference", "retrieval", "embedding", "reranker"},
    shared_roots={"llm", "input", "output"},
    types={
        "openinference.span.kind": span_types(
            "LLM CHAIN AGENT TOOL RETRIEVER EMBEDDING RERANKER GUARDRAIL EVALUATOR", CHAIN="PROMPT"
        )
    },
    inputs=("input.value", "reranker.query"),
    outputs=("output.value",),
    tool_name=("tool.name",),
    prompt_version=("llm.prompt_template.version",),
    model=(
        "llm.response.model_name llm.model_name llm.request.model_name embedding.model_name reranker.model_name"
    ).split(),
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
    costs={
        "total_cost": ("llm.cost.total",),
        "input_cost": ("llm.cost.prompt",),
        "output_cost": ("llm.cost.completion",),
    },
    metadata=("metadata.",),
    before=_read,
    after=_correct,
)
