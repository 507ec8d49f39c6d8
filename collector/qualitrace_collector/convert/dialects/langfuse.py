"""Langfuse's SDK, version 3 on (the attribute names of langfuse's packages/shared/src/server/otel/attributes.ts)."""

from collections.abc import Mapping
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.dialects.costs import cost
from qualitrace_collector.convert.dialects.table import Dialect
from qualitrace_collector.convert.draft import Draft, number, whole_number
from qualitrace_collector.convert.usage import (
    CACHE_READ,
    CACHE_WRITTEN,
    INPUT,
    OUTPUT,
    REASONING,
    TOTAL,
    apart_from,
    with_total,
)

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
_OPENAIS = {"prompt_tokens", "promptTokens", "completion_tokens", "completionTokens"}
_ASKED = ("input", "input_tokens", "inputTokens", "prompt_tokens", "promptTokens")
_ANSWERED = ("output", "output_tokens", "outputTokens", "completion_tokens", "completionTokens")
_TOTAL = ("total", "total_tokens", "totalTokens")
_WHOLES = frozenset({*_ASKED, *_ANSWERED, *_TOTAL})
_ASKED_PARTS = ("input", "prompt", "cache")
_ANSWERED_PARTS = ("output", "completion", "reasoning")
_DETAILS = {
    "prompt_tokens_details": "input_",
    "input_tokens_details": "input_",
    "completion_tokens_details": "output_",
    "output_tokens_details": "output_",
}


def _read(draft: Draft) -> None:
    details = draft.loads(draft.values.get("langfuse.observation.usage_details"))
    if draft.usage is None and isinstance(details, dict):
        draft.usage = _usage(details)
    costs = draft.loads(draft.values.get("langfuse.observation.cost_details"))
    if draft.cost is None and isinstance(costs, dict):
        draft.cost = _cost(costs)
    if draft.values.get("langfuse.observation.level") == "ERROR":
        draft.failure = draft.text(("langfuse.observation.status_message",)) or ""


def _usage(details: Mapping[str, Any]) -> dict[str, int] | None:
    """Add up the buckets of a call's tokens.

    Langfuse's own are disjoint: all whose name has `input` in it make the input, so with `output`
    (https://langfuse.com/docs/observability/features/token-and-cost-tracking). Its wrapper of OpenAI's client passes
    on what OpenAI tells, where the parts are within the whole (OpenAICompletionUsageSchema of
    packages/shared/src/server/ingestion/types.ts); so do people with other shapes. The total shows which it is.
    """
    buckets = _flat(details)
    asked, asked_key = _whole(buckets, _ASKED)
    answered, answered_key = _whole(buckets, _ANSWERED)
    total, _ = _whole(buckets, _TOTAL)
    if asked is None and answered is None:
        return None if total is None else {TOTAL: total}
    parts = {key: count for key, count in buckets.items() if key not in _WHOLES and "priority" not in key}
    answered_parts = {key: parts.pop(key) for key in list(parts) if _has(key, _ANSWERED_PARTS)}
    asked_parts = {key: count for key, count in parts.items() if _has(key, _ASKED_PARTS)}
    is_nested = not _DETAILS.keys().isdisjoint(details)
    adds = apart_from(
        (asked or 0, answered or 0),
        (sum(asked_parts.values()), sum(answered_parts.values())),
        total,
        default=(not is_nested and asked_key not in _OPENAIS, not is_nested and answered_key not in _OPENAIS),
    )
    usage = {
        INPUT: (asked or 0) + adds[0] * sum(asked_parts.values()),
        OUTPUT: (answered or 0) + adds[1] * sum(answered_parts.values()),
        CACHE_READ: sum(count for key, count in asked_parts.items() if _has(key, ("read", "cached"))),
        CACHE_WRITTEN: sum(count for key, count in asked_parts.items() if _has(key, ("creation", "write"))),
        REASONING: sum(count for key, count in answered_parts.items() if "reasoning" in key),
    }
    return with_total({name: count for name, count in usage.items() if count or name in (INPUT, OUTPUT)})


def _flat(details: Mapping[str, Any]) -> dict[str, int]:
    """Return the buckets, those of OpenAI's nested details under Langfuse's names of them."""
    named = [(key, value) for key, value in details.items() if key not in _DETAILS]
    for key, prefix in _DETAILS.items():
        if isinstance(inner := details.get(key), dict):
            named += [(prefix + name, value) for name, value in inner.items()]
    return {str(key): count for key, value in named if (count := whole_number(value)) is not None}


def _whole(buckets: Mapping[str, int], keys: tuple[str, ...]) -> tuple[int | None, str]:
    key = next((key for key in keys if key in buckets), "")
    return buckets.get(key), key


def _has(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name for part in parts)


def _cost(details: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the total, or the sum of the buckets, which are disjoint as those of tokens are."""
    buckets = {key: amount for key, value in details.items() if (amount := number(value)) is not None}
    total = buckets.pop("total", None)
    if total is None and buckets:
        total = sum(buckets.values())
    answered = [amount for key, amount in buckets.items() if _has(key, _ANSWERED_PARTS)]
    return cost(total, None, sum(answered) if answered else None)


LANGFUSE = Dialect(
    roots=frozenset({"langfuse"}),
    types={"langfuse.observation.type": _TYPES},
    inputs=("langfuse.observation.input", "langfuse.trace.input"),
    outputs=("langfuse.observation.output", "langfuse.trace.output"),
    model=("langfuse.observation.model.name", "langfuse.observation.model"),
    before=_read,
)
