"""Tokens of streams that came without any: OpenAI and others report them only if the request asks for them."""

from collections.abc import Iterator, Sequence
from typing import Any

from qualitrace_collector.convert.blobs import without_blobs
from qualitrace_collector.convert.first_chunk import CHUNK_EVENTS, IN_MILLISECONDS, IN_SECONDS
from qualitrace_collector.convert.one_span_per_call import ancestors, failed
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import INPUT, OUTPUT, with_total

ESTIMATED = "gen_ai.usage.estimated"
"""The attribute that marks a span whose tokens are estimated."""

# OpenAI's rule of thumb is four characters of English for a token; of other scripts a character is a token or more.
_BYTES_PER_TOKEN = 4

# Attributes that are true for a stream: OpenTelemetry's and OpenLLMetry's.
_STREAM_SIGNS = ("gen_ai.request.stream", "gen_ai.request.streaming", "llm.is_streaming")
# Classes that only streams have: LangChain's, whose parameters do not show that a chain made a stream of a call.
_CHUNK_CLASSES = ('"ChatGenerationChunk"', '"AIMessageChunk"')
# Instrumentors of OpenAI's client that show no sign of a stream: all other answers of OpenAI's have tokens.
_SIGNLESS_SCOPES = frozenset({"@opentelemetry/instrumentation-openai"})
_PARAMETERS = "llm.invocation_parameters"  # OpenInference's, with what the client was called with

# What a model does not read as text, or only in part: the frame of a message.
_FRAME = frozenset({"role", "type", "id", "finish_reason", "finishReason", "stop_reason", "index", "model", "object"})


def estimate_usage(drafts: Sequence[SpanDraft]) -> None:
    """Estimate the tokens of streams without any from their text, and mark these spans; `count_once` must have run."""
    by_id = {draft.span.span_id: draft for draft in drafts}
    for draft in drafts:
        if not _lacks_usage(draft) or any(above.usage and above.counted for above in ancestors(draft, by_id)):
            continue
        draft.usage = with_total({INPUT: _tokens(draft, draft.inputs), OUTPUT: _tokens(draft, draft.outputs)})
        if ESTIMATED not in draft.values:
            draft.added[ESTIMATED] = "true"


def _lacks_usage(draft: SpanDraft) -> bool:
    is_call = draft.type in CALL_TYPES and draft.counted and not draft.native and not failed(draft)
    return is_call and not draft.usage and bool(draft.outputs) and _is_stream(draft)


def _is_stream(draft: SpanDraft) -> bool:
    parameters = draft.loads(draft.values.get(_PARAMETERS))
    return (
        any(draft.values.get(name) is True for name in _STREAM_SIGNS)
        or (isinstance(parameters, dict) and parameters.get("stream") is True)
        or any(name in draft.values for name in (*IN_SECONDS, *IN_MILLISECONDS))
        or draft.scope in _SIGNLESS_SCOPES
        or any(event.name in CHUNK_EVENTS for event in draft.events)
        or any(name in str(draft.values.get("output.value", "")) for name in _CHUNK_CLASSES)
    )


def _tokens(draft: SpanDraft, content: Any) -> int:
    size = sum(len(text.encode(errors="replace")) for text in _texts(without_blobs(draft.loads(content))))
    return -(-size // _BYTES_PER_TOKEN)


def _texts(content: Any) -> Iterator[str]:
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [item for key, item in value.items() if key not in _FRAME]
        elif isinstance(value, list):
            waiting += value
