"""The registry of built-in metrics.

To add a metric, write one module in this folder that declares it as a `BuiltinMetric`; `refusal.py` is a short one. It
states in one place the metric's name, the texts that it needs, its local rules, the criterion for LLM judges, the
versions of both, and its lines in the documentation. Every module here is imported, and every `BuiltinMetric` in one is
registered: the configuration, the judges, `qualitrace judge` and `evaluate` know it from then on.

Then add a test of what it should pass and fail. `tests/monitors/judges/test_builtin.py` fails until the metric's scores
are recorded and its lines stand in `docs/reference/judges.md`; its messages explain both.

What the rules of several metrics share (words, numbers, languages) is in `judges/local`. A change there that moves the
scores of a metric needs a new `version` of that metric, too.
"""

from importlib import import_module
from pkgutil import iter_modules

from qualitrace_monitors.judges.contract import BuiltinMetric

_TEXTS = {"inputs": "question", "outputs": "answer", "passages": "passages"}


def _declared() -> list[BuiltinMetric]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, BuiltinMetric)]
    return sorted(found, key=lambda metric: metric.name)


BUILTIN_METRICS = {metric.name: metric for metric in _declared()}


def documentation() -> tuple[list[str], list[str]]:
    """Return the rows of the tables in `docs/reference/judges.md`: what a metric asks, how its rules decide."""
    metrics, rules = list[str](), list[str]()
    for metric in BUILTIN_METRICS.values():
        needs = (" or " if metric.any_need_will_do else ", ").join(_TEXTS[name] for name in metric.needs)
        local = "local heuristic" if metric.is_heuristic else "local"
        metrics.append(f"| {metric.name} | {metric.asks} | {needs} | {local}, LLM |")
        rules.append(f"| {metric.name} | {metric.rules} |")
    return metrics, rules
