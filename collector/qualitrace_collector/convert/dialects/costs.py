"""What a call cost in US dollars by its client's own word, wherever libraries put it.

Sources: OpenInference's semantic conventions (`llm.cost.*`), LiteLLM's integrations/opentelemetry.py
(`gen_ai.cost.*`), OpenLIT and Langfuse (`gen_ai.usage.cost`), OpenRouter's broadcast and any-agent
(`gen_ai.usage.*_cost`), Logfire and Pydantic AI (`operation.cost`), the proposal for OpenTelemetry
(`gen_ai.usage.cost.amount`), Claude's SDKs (`total_cost_usd`), the AI SDK's providerMetadata (Vercel's gateway,
OpenRouter), and OpenRouter's usage accounting (`usage.cost` in a response).
"""

from typing import Any

from qualitrace_collector.convert.content import at
from qualitrace_collector.convert.span_draft import RESPONDING_TYPES, SpanDraft, number

_TOTALS = (
    "llm.cost.total",
    "gen_ai.cost.total_cost",
    "gen_ai.usage.cost.amount",
    "gen_ai.usage.cost",
    "gen_ai.usage.total_cost",
    "gen_ai.usage.cost.total",
    "gen_ai.usage.cost_usd",
    "gen_ai.cost.total",
    "gen_ai.cost.amount",
    "gen_ai.cost",
    "operation.cost",
    "litellm.response-cost",
    "llm.usage.cost",
)
_PLAIN_TOTALS = ("total_cost_usd", "cost_usd", "usage.cost", "total_cost", "cost")
"""What any service's span may call its price: believed only of a span that reports tokens, too."""

_INPUTS = ("llm.cost.prompt", "gen_ai.cost.input_cost", "gen_ai.usage.input_cost", "gen_ai.cost.input")
_OUTPUTS = ("llm.cost.completion", "gen_ai.cost.output_cost", "gen_ai.usage.output_cost", "gen_ai.cost.output")
_METADATA = "ai.response.providerMetadata"
_NAMES = frozenset({*_TOTALS, *_PLAIN_TOTALS, *_INPUTS, *_OUTPUTS, _METADATA})
_CURRENCIES = ("gen_ai.usage.cost.currency", "gen_ai.cost.currency")
_IN_RESPONSES = (("usage", "cost"), ("total_cost_usd",))
_IN_METADATA = (("gateway", "cost"), ("gateway", "marketCost"), ("openrouter", "usage", "cost"))


def stated_cost(draft: SpanDraft) -> dict[str, float] | None:
    """Return the cost by MLflow's names, None if the span states none (in US dollars)."""
    values = draft.values
    if not _NAMES.isdisjoint(values):
        if any(str(values.get(key, "USD")).upper() != "USD" for key in _CURRENCIES):
            return None
        total = _amount(draft, (*_TOTALS, *_PLAIN_TOTALS) if draft.usage else _TOTALS)
        found = cost(total, _amount(draft, _INPUTS), _amount(draft, _OUTPUTS))
        if found is None and _METADATA in values:
            metadata = draft.loads(values[_METADATA])
            found = cost(_first(at(metadata, *path) for path in _IN_METADATA))
        if found is not None:
            return found
    return _in_response(draft) if draft.type in RESPONDING_TYPES else None


def cost(total: float | None, asked: float | None = None, answered: float | None = None) -> dict[str, float] | None:
    """Return a cost in MLflow's form, None unless the whole is known; an unknown part is 0."""
    if total is None:
        if asked is None or answered is None:
            return None
        total = asked + answered
    if asked is None and answered is not None:
        asked = max(total - answered, 0.0)
    elif answered is None and asked is not None:
        answered = max(total - asked, 0.0)
    return {"input_cost": asked or 0.0, "output_cost": answered or 0.0, "total_cost": float(total)}


def _amount(draft: SpanDraft, keys: tuple[str, ...]) -> float | None:
    return _first(draft.values.get(key) for key in keys if key in draft.values)


def _first(values: Any) -> float | None:
    """Return the first amount above zero, else zero if that is what they say: some libraries put 0 for "unknown"."""
    found = [amount for value in values if (amount := number(value)) is not None]
    return next((amount for amount in found if amount), found[0] if found else None)


def _in_response(draft: SpanDraft) -> dict[str, float] | None:
    """Read the cost in a recorded response; a response without the word is not opened for it."""
    outputs = draft.outputs
    if isinstance(outputs, str) and not any(f'"{path[-1]}"' in outputs for path in _IN_RESPONSES):
        return None
    response = draft.loads(outputs)
    return cost(_first(at(response, *path) for path in _IN_RESPONSES))
