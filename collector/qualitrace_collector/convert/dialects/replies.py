"""Frameworks that keep a call's model and counts inside the reply that they record: Haystack and Genkit.

Sources: haystack/tracing and the `meta` of its chat messages and generators; Genkit's js/core/src/tracing and
GenerateResponseSchema of js/ai/src/model-types.ts.
"""

from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft, counts
from qualitrace_collector.convert.usage import with_total

_USAGE = {
    "input_tokens": ("prompt_tokens", "input_tokens", "inputTokens"),
    "output_tokens": ("completion_tokens", "output_tokens", "outputTokens"),
    "total_tokens": ("total_tokens", "totalTokens"),
    "cache_read_input_tokens": ("cachedContentTokens",),
    "reasoning_tokens": ("thoughtsTokens",),
}


def _read_usage(draft: SpanDraft, usage: Any) -> None:
    draft.usage = draft.usage or with_total(counts(usage, _USAGE))


_HAYSTACK_TYPES = {
    "ChatGenerator": SpanType.CHAT_MODEL,
    "Generator": SpanType.LLM,
    "Retriever": SpanType.RETRIEVER,
    "Embedder": SpanType.EMBEDDING,
    "Ranker": SpanType.RERANKER,
    "ToolInvoker": SpanType.TOOL,
    "Agent": SpanType.AGENT,
}


def _read_haystack(draft: SpanDraft) -> None:
    component = draft.text(("haystack.component.type",)) or ""
    if draft.type is None:
        kinds = (kind for suffix, kind in _HAYSTACK_TYPES.items() if component.endswith(suffix))
        draft.type = next(kinds, SpanType.CHAIN)
    if draft.type in CALL_TYPES:
        output = draft.loads(draft.values.get("haystack.component.output"))
        replies = output.get("meta") or output.get("replies") if isinstance(output, dict) else None
        reply = replies[0] if isinstance(replies, list) and replies else None
        meta = reply.get("meta", reply) if isinstance(reply, dict) else None
        if isinstance(meta, dict):
            draft.model = draft.model or meta.get("model")
            _read_usage(draft, meta.get("usage"))


HAYSTACK = Dialect(
    roots=frozenset({"haystack"}),
    inputs=("haystack.component.input", "haystack.pipeline.input_data", "haystack.agent.input"),
    outputs=("haystack.component.output", "haystack.pipeline.output_data", "haystack.agent.output"),
    before=_read_haystack,
)


def _read_genkit(draft: SpanDraft) -> None:
    if draft.values.get("genkit:metadata:subtype") != "model":
        return
    draft.model = draft.model or draft.text(("genkit:name",))
    response = draft.loads(draft.values.get("genkit:output"))
    if isinstance(response, dict):
        _read_usage(draft, response.get("usage"))


GENKIT = Dialect(
    roots=frozenset({"genkit"}),
    types={
        "genkit:metadata:subtype": {
            "model": SpanType.CHAT_MODEL,
            "tool": SpanType.TOOL,
            "retriever": SpanType.RETRIEVER,
            "embedder": SpanType.EMBEDDING,
            "reranker": SpanType.RERANKER,
            "evaluator": SpanType.EVALUATOR,
            "flow": SpanType.WORKFLOW,
        }
    },
    inputs=("genkit:input",),
    outputs=("genkit:output",),
    before=_read_genkit,
)
