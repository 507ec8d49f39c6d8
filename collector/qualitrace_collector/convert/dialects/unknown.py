"""Spans of no known dialect: names that say by themselves what they hold."""

from collections.abc import Iterable

from mlflow.entities import SpanType

from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft

_PREFIXES = ("", "llm.", "ai.", "genai.", "agent.", "chain.", "request.", "response.")


def _prefixed(*names: str) -> tuple[str, ...]:
    return tuple(prefix + name for prefix in _PREFIXES for name in names)


_INPUTS = _prefixed("prompt", "messages", "question", "input", "inputs", "query")
_OUTPUTS = _prefixed("completion", "answer", "output", "outputs", "response")
_TELLING = frozenset(_prefixed("prompt", "messages", "question", "completion", "answer"))
"""Names that only spans of language models have; a query with a response may be any service's."""

_MODELS = _prefixed("model", "model_name", "model.name")
_TOKENS = {
    "input_tokens": _prefixed("input_tokens", "prompt_tokens", "usage.prompt_tokens"),
    "output_tokens": _prefixed("output_tokens", "completion_tokens", "usage.completion_tokens"),
}


def read_unknown(draft: SpanDraft) -> None:
    """Fill the fields of a span that seems to be one of a GenAI library: by its content, or a model with tokens."""
    asked, answered = _name(draft, _INPUTS), _name(draft, _OUTPUTS)
    model = draft.text(_MODELS)
    usage = {name: count for name, keys in _TOKENS.items() if (count := draft.count(keys)) is not None}
    has_usage = len(usage) == len(_TOKENS)
    has_content = bool(asked and answered) and (model is not None or not _TELLING.isdisjoint((asked, answered)))
    if not has_content and not (model and has_usage):
        return
    draft.genai = True
    draft.inputs, draft.outputs = draft.values.get(asked or ""), draft.values.get(answered or "")
    draft.model = model
    if model and not {"tool.name", "tool"} & draft.values.keys():
        draft.type = SpanType.LLM
    if draft.type in CALL_TYPES and has_usage:
        draft.usage = usage | {"total_tokens": sum(usage.values())}


def _name(draft: SpanDraft, names: Iterable[str]) -> str | None:
    return next((name for name in names if draft.first((name,)) is not None), None)
