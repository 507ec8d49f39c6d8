"""Vercel's AI SDK (https://ai-sdk.dev/docs/ai-sdk-core/telemetry#collected-data), versions 3 to 6.

Version 7 follows OpenTelemetry's GenAI conventions (@ai-sdk/otel) and adds attributes of its own under the old names.
"""

from typing import Any

from qualitrace_collector.convert.content import at
from qualitrace_collector.convert.dialects.dialect import Dialect, span_types
from qualitrace_collector.convert.span_draft import SpanDraft, whole_number
from qualitrace_collector.convert.usage import CACHE_READ, CACHE_WRITTEN, INPUT, whole

_CALLS = (".doGenerate", ".doStream")
_OPERATIONS = span_types(
    TOOL="ai.toolCall",
    EMBEDDING="ai.embed ai.embed.doEmbed ai.embedMany ai.embedMany.doEmbed",
    RERANKER="ai.rerank ai.rerank.doRerank",
    LLM=" ".join(
        f"ai.{name}{suffix}"
        for name in ("generateText", "streamText", "generateObject", "streamObject")
        for suffix in ("", *_CALLS)
    ),
)


def _read(draft: SpanDraft) -> None:
    """Put the parts of a model call's prompt and response together."""
    operation = draft.values.get("ai.operationId")
    if isinstance(operation, str) and operation.endswith(_CALLS):
        draft.inputs = _parts(draft, "ai.prompt.") or None
        draft.outputs = _parts(draft, "ai.response.") or _parts(draft, "ai.result.") or None
        draft.message_format = "vercel_ai"


def _parts(draft: SpanDraft, prefix: str) -> dict[str, Any]:
    found = {key.removeprefix(prefix): value for key, value in draft.values.items() if key.startswith(prefix)}
    return {name: value if name == "text" else _part(draft, value) for name, value in found.items()}


def _part(draft: SpanDraft, value: Any) -> Any:
    """Open what the SDK wrote as JSON; its `text` is the model's own, whether it is JSON or not."""
    return [draft.loads(item) for item in value] if isinstance(value, list) else draft.loads(value)


_CACHE_APART = ("anthropic", "bedrock")

# Where the metadata of Anthropic and Bedrock report cached tokens: not all of versions 3 to 5 do so elsewhere.
_CACHED = {
    CACHE_READ: ("usage.cache_read_input_tokens", "cacheReadInputTokens", "usage.cacheReadInputTokens"),
    CACHE_WRITTEN: ("usage.cache_creation_input_tokens", "cacheCreationInputTokens", "usage.cacheWriteInputTokens"),
}


def _add_cached_tokens(draft: SpanDraft) -> None:
    """Add cached tokens to the input where versions before 6 leave them out: for the providers in `_CACHE_APART`.

    Version 6 made the input whole for all providers, and reports its details (`convertAnthropicMessagesUsage` of
    @ai-sdk/anthropic, `asLanguageModelUsage` of ai).
    """
    if draft.usage is None or any(key.startswith("ai.usage.inputTokenDetails.") for key in draft.values):
        return
    metadata = draft.loads(draft.values.get("ai.response.providerMetadata"))
    provider = str(draft.values.get("ai.model.provider", ""))
    for name in _CACHE_APART:
        reported = at(metadata, name)
        if reported is not None or name in provider:
            draft.usage = _with_cached(draft.usage, reported)
            return


def _with_cached(usage: dict[str, int], reported: Any) -> dict[str, int]:
    for name, paths in _CACHED.items():
        counts = (count for path in paths if (count := whole_number(at(reported, *path.split(".")))) is not None)
        if name not in usage and (count := next(counts, None)) is not None:
            usage[name] = count
    raw = whole_number(at(reported, "usage", "input_tokens"))
    cached = usage.get(CACHE_READ, 0) + usage.get(CACHE_WRITTEN, 0)
    is_whole = raw is not None and usage.get(INPUT) == raw + cached
    return whole(usage, apart=not is_whole)


VERCEL = Dialect(
    name="vercel",
    shared_roots={"ai"},
    types={"ai.operationId": _OPERATIONS},
    inputs=("ai.prompt", "ai.toolCall.args", "ai.value", "ai.values", "ai.prompt.messages"),
    outputs=(
        "ai.response.text ai.response.object ai.response.toolCalls ai.result.text ai.result.object "
        "ai.result.toolCalls ai.toolCall.result ai.embedding ai.embeddings"
    ).split(),
    tools=("ai.prompt.tools",),
    tool_name=("ai.toolCall.name",),
    model=("ai.response.model", "ai.model.id"),
    provider=("ai.model.provider",),
    response_id=("ai.response.id",),
    tokens={
        "input_tokens": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output_tokens": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "total_tokens": ("ai.usage.totalTokens",),
        "cache_read_input_tokens": ("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens"),
        "cache_creation_input_tokens": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning_tokens": ("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens"),
    },
    metadata=("ai.telemetry.metadata.", "ai.settings.context."),
    before=_read,
    after=_add_cached_tokens,
)
