"""SLOs as multiwindow, multi-burn-rate alerts, after the Site Reliability Workbook, chapter 5.

A burn rate of 1 spends the error budget in exactly the SLO's period. An alert fires while a long window shows that much
was spent, and a short one that it goes on.
"""

from collections.abc import Iterator

from qualitrace_monitors.alerts.kinds.burn_rates import BURNS, LEAST_ANSWERS, Burn
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.prometheus_rules.naming import (
    COUNT,
    WEIGHT,
    annotations,
    counted_labels,
    labels_of,
    own_labels,
    services,
    tiers,
)
from qualitrace_monitors.prometheus_rules.promql import duration, equals, selector, series
from qualitrace_monitors.prometheus_rules.rule import Alert, Example, Record, growing

_RECORDED = "service:qualitrace_slo_errors:ratio_rate"
_REQUESTS, _ERRORS = "qualitrace_requests_total", "qualitrace_request_errors_total"


def burn_rates(rule: AlertRule, runbooks: str) -> Iterator[Alert | Record]:
    """Yield the share of bad answers, or failed requests, over each window, and an alert for each urgency."""
    for window in sorted({window for burn in BURNS for window in (burn.long, burn.short)}):
        yield Record(name=f"{_RECORDED}{duration(window)}", expr=_errors(rule, window), labels={"slo": rule.name})
    by_severity: dict[str, list[Burn]] = {}
    for burn in BURNS:
        if burn.rate * _budget(rule) < 1:  # else more than all would have to be bad
            by_severity.setdefault(_severity(rule, burn), []).append(burn)
    for burns in by_severity.values():
        # A little more than the slowest of these burn rates: what is less urgent fires, too.
        share = min(1.0, (burns[-1].rate + 1) * _budget(rule))
        found = [severity for severity, those in by_severity.items() if those[-1].rate * _budget(rule) < share]
        bad = Example(series=_answered(rule, share), fires=_firing(rule), severities=found)
        yield _alert(rule, burns, runbooks, bad)


def _budget(rule: AlertRule) -> float:
    return round(1 - rule.when.threshold, 6)


def _errors(rule: AlertRule, window: float) -> str:
    of, span = services(rule), duration(window)
    if not rule.judge:
        failed, counted = (f"sum by (service) (rate({selector(each, *of)}[{span}]))" for each in (_ERRORS, _REQUESTS))
        return f"{failed}\n/\n{counted}"
    of = [*of, equals("judge", rule.judge)]

    def share(tier: str) -> str:
        counted = [*of, equals("tier", tier)]
        bad, every = selector(WEIGHT, *counted, equals("result", "fail")), selector(WEIGHT, *counted)
        parts = (f"sum by (service, tier) (rate({each}[{span}]))" for each in (bad, every))
        return " / ".join(parts)

    return "\nor on (service) ".join(map(share, tiers(rule)))


def _enough(rule: AlertRule, window: float) -> str:
    """Return the condition that there were answers: of a few, one that is bad is a high rate."""
    of = [*services(rule), *([equals("judge", rule.judge)] if rule.judge else [])]
    counter = selector(COUNT if rule.judge else _REQUESTS, *of)
    return f"and on (service) sum by (service) (increase({counter}[{duration(window)}])) >= {LEAST_ANSWERS}"


def _firing(rule: AlertRule) -> dict[str, str]:
    """Return the labels of an alert, in an example."""
    labels = counted_labels(rule) if rule.judge else labels_of(rule)
    return {name: value for name, value in labels.items() if name in ("service", "tier")}


def _severity(rule: AlertRule, burn: Burn) -> str:
    return own_labels(rule)["severity"] if "severity" in rule.model_fields_set else burn.severity


def _alert(rule: AlertRule, burns: list[Burn], runbooks: str, bad: Example) -> Alert:
    budget = _budget(rule)
    pairs = [
        f"  {_share(rule, burn.long)} > {burn.rate * budget:.6g}\n"
        f"  and {_share(rule, burn.short)} > {burn.rate * budget:.6g}\n"
        f"  {_enough(rule, burn.long)}\n"
        for burn in burns
    ]
    either, judge = "  or\n".join(pairs), {"judge": rule.judge} if rule.judge else {}
    return Alert(
        name=rule.name,
        expr=f"max by (service, tier) (\n{either})",
        hold=rule.hold_for,
        keep=rule.keep_firing_for,
        labels=own_labels(rule) | judge | {"severity": _severity(rule, burns[0])},
        annotations=annotations(rule, f"the error budget of {rule.when} burns too fast", runbooks, "burn-rate"),
        examples=[bad, Example(series=_answered(rule, 0.5 * budget))],
    )


def _share(rule: AlertRule, window: float) -> str:
    return series(f"{_RECORDED}{duration(window)}", slo=rule.name)


def _answered(rule: AlertRule, bad: float) -> dict[str, str]:
    """Return counters of which this share is bad."""
    if not rule.judge:
        found, labels = {_ERRORS: 60 * bad, _REQUESTS: 60.0}, labels_of(rule, "service")
        return {series(counter, **labels): growing(by, rule.hold_for) for counter, by in found.items()}
    labels, parts = counted_labels(rule), {"fail": 60 * bad, "pass": 60 * (1 - bad)}
    weights = {series(WEIGHT, **labels, result=result): growing(by, rule.hold_for) for result, by in parts.items()}
    return weights | {series(COUNT, **labels, result="fail"): growing(60, rule.hold_for)}
