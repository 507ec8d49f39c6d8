"""The rules of the section `alerts`, one function a kind; `KINDS` has them by the kinds of conditions.

What bets is a detector, which PromQL cannot run: its evidence and the limit are gauges, which the rule compares. That
is exact: it fires and resolves with the server's own alert. Beside it stands what PromQL can say by itself
(`windowed.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from qualitrace_monitors.alerts.quantities import KindName
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.estimate.estimator import DEFAULT_WINDOW
from qualitrace_monitors.prometheus_rules import facts
from qualitrace_monitors.prometheus_rules.burn_rates import burn_rates
from qualitrace_monitors.prometheus_rules.naming import annotations, labels_of, own_labels
from qualitrace_monitors.prometheus_rules.promql import series
from qualitrace_monitors.prometheus_rules.rule import Alert, Example, Group, Record, steady
from qualitrace_monitors.prometheus_rules.windowed import rates, windowed_requests, windowed_scores

GAP = "5m"
"""For how long the last value of a gauge counts: a server that starts again resolves nothing."""

Kind = Callable[[AlertRule, str], Iterator[Alert | Record]]


def quality(rules: Sequence[AlertRule], runbooks: str) -> list[Group]:
    """Return a group of recorded rates, and one for each rule.

    Args:
        runbooks: the address of the folder with the runbooks.
    """
    windows = sorted({DEFAULT_WINDOW, *(rule.window for rule in rules if rule.when.kind == "scores")})
    recorded = Group(name="qualitrace_rates", rules=[record for window in windows for record in rates(window)])
    alerts = [Group(name=f"qualitrace_{rule.name}", rules=[*KINDS[rule.when.kind](rule, runbooks)]) for rule in rules]
    return [recorded, *alerts]


def _scores(rule: AlertRule, runbooks: str) -> Iterator[Alert]:
    yield _exact(rule, runbooks)
    if rule.when.reference is None and rule.is_of_services:
        yield windowed_scores(rule, runbooks)


def _control(rule: AlertRule, runbooks: str) -> Iterator[Alert]:
    yield _exact(rule, runbooks)


def _requests(rule: AlertRule, runbooks: str) -> Iterator[Alert]:
    yield _exact(rule, runbooks)
    if rule.is_of_services:
        yield windowed_requests(rule, runbooks)


def _exact(rule: AlertRule, runbooks: str) -> Alert:
    """Compare the evidence with its limit."""

    def last(metric: str) -> str:
        return f"last_over_time({series(metric, alert=rule.name)}[{GAP}])"

    evidence, limit = "qualitrace_alert_evidence", "qualitrace_alert_limit"
    labels, enough = labels_of(rule), 1 / rule.false_alarms.chance

    def shown(value: float) -> dict[str, str]:
        found = {evidence: value, limit: enough}
        return {series(name, alert=rule.name, **labels): steady(each, rule.hold_for) for name, each in found.items()}

    return Alert(
        name=rule.name,
        expr=f"max by (service, judge, tier) (\n  {last(evidence)}\n  >= {last(limit)}\n)",
        hold=rule.hold_for,
        keep=rule.keep_firing_for,
        labels=own_labels(rule),
        annotations=annotations(rule, f"{rule.when}; false alarms at most {rule.false_alarms}", runbooks),
        examples=[
            Example(series=shown(enough), fires=labels),
            Example(series=shown(0.9 * enough)),
        ],
    )


KINDS: Mapping[KindName, Kind] = {
    "scores": _scores,
    "control": _control,
    "requests": _requests,
    "spend": facts.spend,
    "silence": facts.silence,
    "own_health": facts.own_health,
    "slo": burn_rates,
}
"""What each kind of condition is in Prometheus."""
