"""A call's tokens in MLflow's form: the input includes all cached tokens, the output all reasoning.

Libraries report cached tokens as a part of the input (OpenAI, Gemini, OpenTelemetry's gen_ai.usage.input_tokens), or
apart from it (Anthropic, Bedrock's Converse), and many pass on what the provider reports. The same holds for reasoning:
Gemini counts thoughts apart from the candidates. The total decides if only one of the two readings adds up to it. A
part that is larger than the whole was counted apart.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qualitrace_collector.convert.content import at
from qualitrace_collector.convert.span_draft import RESPONDING_TYPES, SpanDraft, whole_number

INPUT, OUTPUT, TOTAL = "input_tokens", "output_tokens", "total_tokens"
CACHE_READ, CACHE_WRITTEN = "cache_read_input_tokens", "cache_creation_input_tokens"
REASONING = "reasoning_tokens"


def with_total(usage: dict[str, int]) -> dict[str, int] | None:
    """Add the total to counts that lack it; None if there is neither input nor output nor total."""
    if INPUT in usage and OUTPUT in usage:
        usage.setdefault(TOTAL, usage[INPUT] + usage[OUTPUT])
    return usage if usage.keys() & {INPUT, OUTPUT, TOTAL} else None


def whole(usage: Mapping[str, int], *, apart: bool = False) -> dict[str, int]:
    """Return the counts with cached tokens in the input and reasoning in the output.

    Args:
        apart: cached tokens are known to be counted apart from the input, whatever the total is: libraries that do so
            often add the total up themselves.
    """
    cached, reasoning = usage.get(CACHE_READ, 0) + usage.get(CACHE_WRITTEN, 0), usage.get(REASONING, 0)
    if not cached and not reasoning:
        return dict(usage)
    counts = usage.get(INPUT, 0), usage.get(OUTPUT, 0)
    total = None if apart else usage.get(TOTAL)
    more_input, more_output = apart_from(counts, (cached, reasoning), total, default=(apart, False))
    found = dict(usage)
    if more_input:
        found[INPUT] = counts[0] + cached
    if more_output:
        found[OUTPUT] = counts[1] + reasoning
    if more_input or more_output:
        found[TOTAL] = found.get(INPUT, 0) + found.get(OUTPUT, 0)
    return found


def apart_from(
    wholes: tuple[int, int], parts: tuple[int, int], total: int | None, default: tuple[bool, bool]
) -> tuple[bool, bool]:
    """Return for input and output whether their parts are counted apart from them, and must be added.

    Args:
        total: what all should add up to, if that is known.
        default: the decision where nothing else shows it.
    """
    possible = [
        (add_input, add_output)
        for add_input in dict.fromkeys((default[0], not default[0]))
        for add_output in dict.fromkeys((default[1], not default[1]))
        if (add_input or parts[0] <= wholes[0]) and (add_output or parts[1] <= wholes[1])
    ]
    adding_up = [adds for adds in possible if sum(wholes) + adds[0] * parts[0] + adds[1] * parts[1] == total]
    return (adding_up or possible)[0]


_INPUT_WHOLES = (
    "input input_tokens inputTokens prompt_tokens promptTokens prompt_token_count promptTokenCount"
).split()
_OUTPUT_WHOLES = (
    "output output_tokens outputTokens completion_tokens completionTokens candidates_token_count candidatesTokenCount"
).split()
_TOTALS = ("total", "total_tokens", "totalTokens", "total_token_count", "totalTokenCount")
_WHOLES = frozenset({*_INPUT_WHOLES, *_OUTPUT_WHOLES, *_TOTALS})

# OpenAI's and Gemini's names of a whole that includes its parts.
_INCLUSIVE = frozenset(
    "prompt_tokens promptTokens completion_tokens completionTokens prompt_token_count promptTokenCount".split()
)
_DETAILS = {
    **dict.fromkeys(("prompt_tokens_details", "input_tokens_details"), "input_"),
    **dict.fromkeys(("completion_tokens_details", "output_tokens_details"), "output_"),
}
_IN_RESPONSES = ("usage", "usage_metadata", "usageMetadata")


def usage_in_response(draft: SpanDraft) -> dict[str, int] | None:
    """Read the usage in a recorded response (OpenAI's, Anthropic's, Gemini's, and the result of Claude's Agent SDK)."""
    # A response without the key in its text is not parsed for it.
    if draft.type not in RESPONDING_TYPES or (isinstance(draft.outputs, str) and '"usage' not in draft.outputs):
        return None
    response = draft.loads(draft.outputs)
    found = (at(response, name) for name in _IN_RESPONSES)
    return next((usage for details in found if isinstance(details, dict) and (usage := usage_of(details))), None)


def usage_of(details: Mapping[str, Any]) -> dict[str, int] | None:
    """Add up the buckets of a call's tokens.

    Langfuse's own are disjoint, as Anthropic's are: all whose name contains `input` make the input, and so with
    `output` (https://langfuse.com/docs/observability/features/token-and-cost-tracking). Its wrapper of OpenAI's client
    passes on what OpenAI reports, where the parts are within the whole (OpenAICompletionUsageSchema of
    packages/shared/src/server/ingestion/types.ts); so do people with other shapes. The total shows which it is.
    """
    buckets = _flat(details)
    input_count, input_key = _whole_bucket(buckets, _INPUT_WHOLES)
    output_count, output_key = _whole_bucket(buckets, _OUTPUT_WHOLES)
    total = next((buckets[key] for key in _TOTALS if key in buckets), None)
    if not input_key and not output_key:
        return None if total is None else {TOTAL: total}
    parts = {key: count for key, count in buckets.items() if key not in _WHOLES and "priority" not in key}
    output_parts = {key: parts.pop(key) for key in list(parts) if is_output_bucket(key)}
    input_parts = {key: count for key, count in parts.items() if _has(key, "input", "prompt", "cache")}
    more_input, more_output = sum(input_parts.values()), sum(output_parts.values())
    is_nested = not _DETAILS.keys().isdisjoint(details)
    adds_input, adds_output = apart_from(
        (input_count, output_count),
        (more_input, more_output),
        total,
        default=(not is_nested and input_key not in _INCLUSIVE, not is_nested and output_key not in _INCLUSIVE),
    )
    usage = {
        INPUT: input_count + adds_input * more_input,
        OUTPUT: output_count + adds_output * more_output,
        CACHE_READ: sum(count for key, count in input_parts.items() if _has(key, "read", "cached")),
        CACHE_WRITTEN: sum(count for key, count in input_parts.items() if _has(key, "creation", "write")),
        REASONING: sum(count for key, count in output_parts.items() if _has(key, "reasoning", "thoughts")),
    }
    return with_total({name: count for name, count in usage.items() if count or name in (INPUT, OUTPUT)})


def _flat(details: Mapping[str, Any]) -> dict[str, int]:
    """Return the buckets, those of OpenAI's nested details under Langfuse's names of them."""
    named = [(key, value) for key, value in details.items() if key not in _DETAILS]
    for key, prefix in _DETAILS.items():
        if isinstance(inner := details.get(key), dict):
            named += [(prefix + name, value) for name, value in inner.items()]
    return {str(key): count for key, value in named if (count := whole_number(value)) is not None}


def _whole_bucket(buckets: Mapping[str, int], keys: Sequence[str]) -> tuple[int, str]:
    """Return the first of these buckets that is there with its key; 0 and an empty key if none is."""
    key = next((key for key in keys if key in buckets), "")
    return buckets.get(key, 0), key


def is_output_bucket(name: str) -> bool:
    """Whether a bucket belongs to the output, by its name."""
    return _has(name, "output", "completion", "reasoning", "thoughts")


def _has(name: str, *parts: str) -> bool:
    return any(part in name for part in parts)
