"""Spans of no known dialect: names that say by themselves what they hold."""

from mlflow.entities import SpanType

from qualitrace_collector.convert.draft import CALL_TYPES, Draft

_PREFIXES = ("", "llm.", "ai.", "genai.", "agent.", "chain.", "request.", "response.")
_INPUTS = tuple(p + n for p in _PREFIXES for n in ("input", "inputs", "prompt", "messages", "question", "query"))
_OUTPUTS = tuple(p + n for p in _PREFIXES for n in ("output", "outputs", "completion", "answer", "response"))
_MODELS = tuple(p + n for p in _PREFIXES for n in ("model", "model_name", "model.name"))
_TOKENS = {
    "input_tokens": tuple(p + n for p in _PREFIXES for n in ("input_tokens", "prompt_tokens", "usage.prompt_tokens")),
    "output_tokens": tuple(
        p + n for p in _PREFIXES for n in ("output_tokens", "completion_tokens", "usage.completion_tokens")
    ),
}


def read_unknown(draft: Draft) -> None:
    """Fill inputs and outputs; a span with both, or with a model and tokens, counts as one of a GenAI library."""
    values = draft.values
    found_input, found_output = draft.first(_INPUTS), draft.first(_OUTPUTS)
    model = draft.text(_MODELS)
    usage = {name: count for name, keys in _TOKENS.items() if (count := draft.count(keys)) is not None}
    if not (found_input is not None and found_output is not None) and not (model and len(usage) == len(_TOKENS)):
        return
    draft.genai = True
    draft.inputs, draft.outputs, draft.model = found_input, found_output, model
    if model and not {"tool.name", "tool"} & values.keys():
        draft.type = SpanType.LLM
    if draft.type in CALL_TYPES and len(usage) == len(_TOKENS):
        draft.usage = usage | {"total_tokens": sum(usage.values())}
