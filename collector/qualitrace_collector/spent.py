"""What a trace spent by model, and what late spans add to that."""

from collections.abc import Mapping, Sequence

from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.spending import spending
from qualitrace_collector.names import BoundedNames
from qualitrace_collector.state import Spent

INPUT, OUTPUT, USD = "input", "output", "usd"
MAX_MODELS = 100


def spent_by_model(spans: Sequence[AnySpan]) -> Spent:
    """Return the tokens and US dollars of a trace's spans; models beyond `MAX_MODELS` are called `other`."""
    totals: dict[str, dict[str, float]] = {}
    models = BoundedNames(MAX_MODELS)
    for item in spending(spans):
        for kind, amount in ((INPUT, item.input), (OUTPUT, item.output), (USD, item.cost_usd)):
            if amount:
                of_model = totals.setdefault(models.bound(item.model or "unknown"), {})
                of_model[kind] = of_model.get(kind, 0) + amount
    return totals


def gained(before: Spent, now: Spent) -> Spent:
    """Return what a trace spent beyond what was counted of it, but no more of each kind than its sum has grown by.

    A late span may show that a call goes by another model's name, or was counted already.
    """
    more: dict[str, dict[str, float]] = {}
    for kind in (INPUT, OUTPUT, USD):
        left = _sum(now, kind) - _sum(before, kind)
        for model, amounts in now.items():
            amount = min(left, amounts.get(kind, 0) - _of(before, model, kind))
            if amount > 0:
                more.setdefault(model, {})[kind] = amount
                left -= amount
    return more


def added(before: Spent, more: Spent) -> Spent:
    """Return the sum of both."""
    models = before.keys() | more.keys()
    kinds = (INPUT, OUTPUT, USD)
    return {
        model: {kind: total for kind in kinds if (total := _of(before, model, kind) + _of(more, model, kind))}
        for model in models
    }


def _of(spent: Mapping[str, Mapping[str, float]], model: str, kind: str) -> float:
    return spent.get(model, {}).get(kind, 0)


def _sum(spent: Spent, kind: str) -> float:
    return sum(amounts.get(kind, 0) for amounts in spent.values())
