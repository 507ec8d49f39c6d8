"""Langfuse's SDK, version 3 on (the attribute names of langfuse's packages/shared/src/server/otel/attributes.ts)."""

from collections.abc import Mapping
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.dialects.buckets import ANSWERED_PARTS, has_part, usage_of
from qualitrace_collector.convert.dialects.costs import cost
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.span_draft import SpanDraft, number

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


def _read(draft: SpanDraft) -> None:
    details = draft.loads(draft.values.get("langfuse.observation.usage_details"))
    if draft.usage is None and isinstance(details, dict):
        draft.usage = usage_of(details)
    costs = draft.loads(draft.values.get("langfuse.observation.cost_details"))
    if draft.cost is None and isinstance(costs, dict):
        draft.cost = _cost(costs)
    if draft.values.get("langfuse.observation.level") == "ERROR":
        draft.failure = draft.text(("langfuse.observation.status_message",)) or ""


def _cost(details: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the total, or the sum of the buckets, which are disjoint as those of tokens are."""
    buckets = {key: amount for key, value in details.items() if (amount := number(value)) is not None}
    total = buckets.pop("total", None)
    if total is None and buckets:
        total = sum(buckets.values())
    answered = [amount for key, amount in buckets.items() if has_part(key, ANSWERED_PARTS)]
    return cost(total, None, sum(answered) if answered else None)


LANGFUSE = Dialect(
    roots=frozenset({"langfuse"}),
    types={"langfuse.observation.type": _TYPES},
    inputs=("langfuse.observation.input", "langfuse.trace.input"),
    outputs=("langfuse.observation.output", "langfuse.trace.output"),
    model=("langfuse.observation.model.name", "langfuse.observation.model"),
    before=_read,
)
