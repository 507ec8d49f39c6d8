"""Langfuse's SDK, version 3 on (the attribute names of langfuse's packages/shared/src/server/otel/attributes.ts)."""

from mlflow.entities import SpanType

from qualitrace_collector.convert.dialects.table import Dialect, with_total
from qualitrace_collector.convert.draft import Draft, amounts

_TYPES = {
    "generation": SpanType.CHAT_MODEL,
    "embedding": SpanType.EMBEDDING,
    "agent": SpanType.AGENT,
    "tool": SpanType.TOOL,
    "chain": SpanType.CHAIN,
    "retriever": SpanType.RETRIEVER,
    "guardrail": SpanType.GUARDRAIL,
    "evaluator": SpanType.EVALUATOR,
}
_USAGE = {
    "input_tokens": ("input", "input_tokens", "prompt_tokens", "promptTokens"),
    "output_tokens": ("output", "output_tokens", "completion_tokens", "completionTokens"),
    "total_tokens": ("total", "total_tokens", "totalTokens"),
    "cache_read_input_tokens": ("cache_read_input_tokens", "input_cached_tokens", "input_cache_read"),
    "cache_creation_input_tokens": ("cache_creation_input_tokens", "input_cache_creation"),
    "reasoning_tokens": ("output_reasoning_tokens", "reasoning_tokens", "output_reasoning"),
}
_COSTS = {"input_cost": ("input",), "output_cost": ("output",), "total_cost": ("total",)}


def _read(draft: Draft) -> None:
    counts = amounts(draft.loads(draft.values.get("langfuse.observation.usage_details")), _USAGE)
    draft.usage = draft.usage or with_total({name: int(count) for name, count in counts.items()})
    costs = amounts(draft.loads(draft.values.get("langfuse.observation.cost_details")), _COSTS)
    if "total_cost" in costs:
        draft.cost = {"input_cost": 0.0, "output_cost": 0.0} | costs
    if draft.values.get("langfuse.observation.level") == "ERROR":
        draft.failure = draft.text(("langfuse.observation.status_message",)) or ""


LANGFUSE = Dialect(
    roots=frozenset({"langfuse"}),
    types={"langfuse.observation.type": _TYPES},
    inputs=("langfuse.observation.input", "langfuse.trace.input"),
    outputs=("langfuse.observation.output", "langfuse.trace.output"),
    model=("langfuse.observation.model.name", "langfuse.observation.model"),
    before=_read,
)
