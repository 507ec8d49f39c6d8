"""Rules that compare a fact with a threshold: what is spent, silence, and the server's own health."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from qualitrace_monitors.alerts.kinds.kind import OWN_SERVICE
from qualitrace_monitors.alerts.kinds.own_health import ERROR_WINDOW, LEAST_CALLS
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.prometheus_rules.naming import annotations, labels_of, own_labels, services
from qualitrace_monitors.prometheus_rules.promql import duration, equals, selector, series
from qualitrace_monitors.prometheus_rules.rule import Alert, Example, growing, steady

_SPENT, _LEFT = "qualitrace_budget_spent", "qualitrace_budget_remaining"
_ERRORS, _CALLS = "qualitrace_judge_errors_total", "qualitrace_judge_duration_seconds_count"
_OLDEST, _WAITING = "qualitrace_judgements_oldest_seconds", "qualitrace_judgements_waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """An expression, and series with which it has a value above and below the threshold.

    Attributes:
        labels: those of the expression's result.
        more: labels of the series that the result lacks.
    """

    expr: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    bad: Mapping[str, str]
    good: Mapping[str, str]
    more: Mapping[str, str]


def spend(rule: AlertRule, runbooks: str) -> Iterator[Alert]:
    """Yield `cost_per_hour > 3` or `tokens_per_hour > 1000000`: what the last hour brought."""
    counter = "qualitrace_cost_usd_total" if rule.when.form.unit == "USD" else "qualitrace_tokens_total"
    threshold = rule.when.threshold
    fact = _Fact(
        expr=f"sum by (service) (increase({selector(counter, *services(rule))}[1h])) > {threshold:g}",
        labels=labels_of(rule, "service"),
        bad={counter: growing(threshold, rule.hold_for)},
        good={counter: growing(threshold / 120, rule.hold_for)},
        more={"model": "m"},
    )
    yield _alert(rule, runbooks, fact)


def silence(rule: AlertRule, runbooks: str) -> Iterator[Alert]:
    """Yield `no_scores for 15m` or `no_requests for 15m`: a counter that is there and does not grow."""
    # These counters are those of the state database: they do not start over when the server does.
    judged = rule.when.quantity == "no_scores"
    counter = "qualitrace_judgements_total" if judged else "qualitrace_traces_total"
    outcome, by = {"outcome": "scored" if judged else "stored"}, "service, judge" if judged else "service"
    of = [
        equals("outcome", outcome["outcome"]),
        *([equals("judge", rule.judge)] if rule.judge else []),
        *services(rule),
    ]
    counted = selector(counter, *of)
    grew = f"sum by ({by}) (increase({counted}[{duration(rule.when.threshold)}]))"
    fact = _Fact(
        expr=f"{grew} == 0\nand sum by ({by}) ({counted}) > 0",  # a service that never had any is not silent
        labels=labels_of(rule, *by.split(", ")),
        bad={counter: steady(5, rule.hold_for)},
        good={counter: growing(1, rule.hold_for)},
        more=outcome,
    )
    yield _alert(rule, runbooks, fact)


def own_health(rule: AlertRule, runbooks: str) -> Iterator[Alert]:
    """Yield a rule on the budget, judges' errors, freshness or the backlog: of its judge, or of all."""
    make = {"budget_spent": _budget_spent, "judge_error_rate": _judge_error_rate}.get(rule.when.quantity, _waiting)
    yield _alert(rule, runbooks, make(rule, {"judge": rule.judge} if rule.judge else {}))


def _budget_spent(rule: AlertRule, of: Mapping[str, str]) -> _Fact:
    spent, left = series(_SPENT, **of), series(_LEFT, **of)
    return _Fact(
        expr=f"max({spent} / ({spent} + {left})) > {rule.when.threshold:g}",
        bad={_SPENT: steady(5, rule.hold_for), _LEFT: steady(0, rule.hold_for)},
        good={_SPENT: steady(0, rule.hold_for), _LEFT: steady(5, rule.hold_for)},
        more={"judge": "*", "window": "day", "unit": "usd", **of},
    )


def _judge_error_rate(rule: AlertRule, of: Mapping[str, str]) -> _Fact:
    failed, called = (f"sum(increase({series(each, **of)}[{duration(ERROR_WINDOW)}]))" for each in (_ERRORS, _CALLS))
    return _Fact(
        expr=f"{failed}\n/ ({called} >= {LEAST_CALLS})\n> {rule.when.threshold:g}",
        bad={_ERRORS: growing(60, rule.hold_for), _CALLS: growing(60, rule.hold_for)},
        good={_ERRORS: growing(0, rule.hold_for), _CALLS: growing(60, rule.hold_for)},
        more={"judge": "relevance", **of},
    )


def _waiting(rule: AlertRule, of: Mapping[str, str]) -> _Fact:
    """Compare how long the oldest sample waits, or how many do: of a cascade those for the model, too."""
    queues = f'{{judge=~"{of["judge"]}(/llm)?"}}' if of else ""  # a judge's name has no character that regex reads
    metric, total = (_OLDEST, "max") if rule.when.quantity == "freshness" else (_WAITING, "sum")
    threshold = rule.when.threshold
    return _Fact(
        expr=f"{total}({metric}{queues}) > {threshold:g}",
        bad={metric: steady(2 * threshold + 1, rule.hold_for)},
        good={metric: steady(threshold, rule.hold_for)},
        more={"judge": "relevance", **of},
    )


def _alert(rule: AlertRule, runbooks: str, fact: _Fact) -> Alert:
    def labelled(values: Mapping[str, str]) -> dict[str, str]:
        return {series(metric, **fact.labels, **fact.more): each for metric, each in values.items()}

    # Without a label of its own it is about qualitrace itself, as the server's own alert says.
    judge = {"judge": rule.judge} if rule.judge else {}
    own, of = ({}, {}) if fact.labels else ({"service": OWN_SERVICE, **judge}, {"service": OWN_SERVICE})
    return Alert(
        name=rule.name,
        expr=fact.expr,
        hold=rule.hold_for,
        keep=rule.keep_firing_for,
        labels=own | own_labels(rule),
        annotations=annotations(rule, str(rule.when), runbooks, **of),
        examples=[
            Example(series=labelled(fact.bad), fires=fact.labels),
            Example(series=labelled(fact.good)),
        ],
    )
