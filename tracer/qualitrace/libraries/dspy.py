"""The tokens of DSPy's calls of models."""

from collections.abc import Mapping
from typing import Any

import wrapt
from opentelemetry.trace import get_current_span

from qualitrace.quiet import never_raises

_COUNTS = {
    "llm.token_count.prompt": ("prompt_tokens",),
    "llm.token_count.completion": ("completion_tokens",),
    "llm.token_count.prompt_details.cache_read": ("prompt_tokens_details", "cached_tokens"),
    "llm.token_count.prompt_details.cache_write": ("prompt_tokens_details", "cache_creation_tokens"),
    "llm.token_count.completion_details.reasoning": ("completion_tokens_details", "reasoning_tokens"),
}


def record_tokens() -> None:
    """Record the tokens of a call, which OpenInference's instrumentor leaves out, on its span.

    An answer from DSPy's cache has none.
    """
    wrapt.wrap_function_wrapper("dspy.clients.execution", "finalize", _finalize)


def _finalize(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _record_usage(args[2] if len(args) > 2 else kwargs.get("result"))
    return wrapped(*args, **kwargs)


@never_raises
def _record_usage(result: Any) -> None:
    span = get_current_span()
    if (getattr(span, "attributes", None) or {}).get("openinference.span.kind") == "LLM":
        for attribute, path in _COUNTS.items():
            if isinstance(count := _at(result.usage, path), int):
                span.set_attribute(attribute, count)


def _at(usage: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        usage = usage.get(name) if isinstance(usage, Mapping) else None
    return usage
