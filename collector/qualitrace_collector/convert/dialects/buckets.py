"""A call's usage as one mapping: Langfuse's buckets of tokens, and what providers put into their responses."""

from collections.abc import Mapping
from typing import Any

from qualitrace_collector.convert.content import at
from qualitrace_collector.convert.span_draft import RESPONDING_TYPES, SpanDraft, whole_number
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

_WITH_PARTS = frozenset(
    {
        *("prompt_tokens", "promptTokens", "completion_tokens", "completionTokens"),
        *("prompt_token_count", "promptTokenCount"),
    }
)
"""Names that OpenAI and Gemini give to a whole with its parts in it."""

_ASKED = (
    "input",
    "input_tokens",
    "inputTokens",
    "prompt_tokens",
    "promptTokens",
    "prompt_token_count",
    "promptTokenCount",
)
_ANSWERED = (
    "output",
    "output_tokens",
    "outputTokens",
    "completion_tokens",
    "completionTokens",
    "candidates_token_count",
    "candidatesTokenCount",
)
_TOTAL = ("total", "total_tokens", "totalTokens", "total_token_count", "totalTokenCount")
_WHOLES = frozenset({*_ASKED, *_ANSWERED, *_TOTAL})
_ASKED_PARTS = ("input", "prompt", "cache")
ANSWERED_PARTS = ("output", "completion", "reasoning", "thoughts")
_DETAILS = {
    "prompt_tokens_details": "input_",
    "input_tokens_details": "input_",
    "completion_tokens_details": "output_",
    "output_tokens_details": "output_",
}


def usage_of(details: Mapping[str, Any]) -> dict[str, int] | None:
    """Add up the buckets of a call's tokens.

    Langfuse's own are disjoint, as Anthropic's are: all whose name has `input` in it make the input, so with `output`
    (https://langfuse.com/docs/observability/features/token-and-cost-tracking). Its wrapper of OpenAI's client passes
    on what OpenAI reports, where the parts are within the whole (OpenAICompletionUsageSchema of
    packages/shared/src/server/ingestion/types.ts); so do people with other shapes. The total shows which it is.
    """
    buckets = _flat(details)
    asked, asked_key = _whole(buckets, _ASKED)
    answered, answered_key = _whole(buckets, _ANSWERED)
    total, _ = _whole(buckets, _TOTAL)
    if asked is None and answered is None:
        return None if total is None else {TOTAL: total}
    parts = {key: count for key, count in buckets.items() if key not in _WHOLES and "priority" not in key}
    answered_parts = {key: parts.pop(key) for key in list(parts) if has_part(key, ANSWERED_PARTS)}
    asked_parts = {key: count for key, count in parts.items() if has_part(key, _ASKED_PARTS)}
    is_nested = not _DETAILS.keys().isdisjoint(details)
    adds = apart_from(
        (asked or 0, answered or 0),
        (sum(asked_parts.values()), sum(answered_parts.values())),
        total,
        default=(not is_nested and asked_key not in _WITH_PARTS, not is_nested and answered_key not in _WITH_PARTS),
    )
    usage = {
        INPUT: (asked or 0) + adds[0] * sum(asked_parts.values()),
        OUTPUT: (answered or 0) + adds[1] * sum(answered_parts.values()),
        CACHE_READ: sum(count for key, count in asked_parts.items() if has_part(key, ("read", "cached"))),
        CACHE_WRITTEN: sum(count for key, count in asked_parts.items() if has_part(key, ("creation", "write"))),
        REASONING: sum(count for key, count in answered_parts.items() if has_part(key, ("reasoning", "thoughts"))),
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


def has_part(name: str, parts: tuple[str, ...]) -> bool:
    """Whether a bucket's name has one of these parts in it."""
    return any(part in name for part in parts)


_IN_RESPONSES = ("usage", "usage_metadata", "usageMetadata")


def usage_in_response(draft: SpanDraft) -> dict[str, int] | None:
    """Read the usage in a recorded response (OpenAI's, Anthropic's, Gemini's, and the result of Claude's Agent SDK)."""
    if draft.type not in RESPONDING_TYPES or (isinstance(draft.outputs, str) and '"usage' not in draft.outputs):
        return None
    response = draft.loads(draft.outputs)
    found = (at(response, name) for name in _IN_RESPONSES)
    return next((usage for details in found if isinstance(details, dict) and (usage := usage_of(details))), None)
