"""SLOs as multiwindow, multi-burn-rate alerts, after the Site Reliability Workbook, chapter 5.

A burn rate of 1 spends the error budget in exactly the SLO's period. An alert fires while a long window shows that much
was spent, and a short one that it goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.prometheus_rules.naming import annotations, labels_of, own_labels, services
from qualitrace_monitors.prometheus_rules.promql import duration, equals, selector, series
from qualitrace_monitors.prometheus_rules.rule import Alert, Example, Record, growing

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Burn:
    """A burn rate that two windows must show, and how urgent that is."""

    rate: float
    long: float
    short: float
    severity: str


BURNS = (
    Burn(14.4, _HOUR, 5 * _MINUTE, "page"),
    Burn(6, 6 * _HOUR, 30 * _MINUTE, "page"),
    Burn(3, _DAY, 2 * _HOUR, "ticket"),
    Burn(1, 3 * _DAY, 6 * _HOUR, "ticket"),
)
"""For a period of 30 days."""

_RECORDED = "service:qualitrace_slo_errors:ratio_rate"
_WEIGHT = "qualitrace_evaluations_weight_total"
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
        bad = Example(series=_answered(rule, share), fires=_labels(rule), severities=found)
        yield _alert(rule, burns, runbooks, bad)


def _budget(rule: AlertRule) -> float:
    return round(1 - rule.when.threshold, 6)


def _errors(rule: AlertRule, window: float) -> str:
    of = services(rule)
    if not rule.judge:
        failed, counted = selector(_ERRORS, *of), selector(_REQUESTS, *of)
    else:
        of += [equals("judge", rule.judge), *([equals("tier", rule.tier)] if rule.tier else [])]
        failed, counted = selector(_WEIGHT, *of, equals("result", "fail")), selector(_WEIGHT, *of)
    failed, counted = (f"sum by (service) (rate({each}[{duration(window)}]))" for each in (failed, counted))
    return f"{failed}\n/\n{counted}"


def _severity(rule: AlertRule, burn: Burn) -> str:
    return own_labels(rule)["severity"] if "severity" in rule.model_fields_set else burn.severity


def _labels(rule: AlertRule) -> dict[str, str]:
    return labels_of(rule, "service") | {"slo": rule.name}


def _alert(rule: AlertRule, burns: list[Burn], runbooks: str, bad: Example) -> Alert:
    budget = _budget(rule)
    pairs = [
        f"(\n  {_share(rule, burn.long)} > {burn.rate * budget:.6g}\n"
        f"  and {_share(rule, burn.short)} > {burn.rate * budget:.6g}\n)"
        for burn in burns
    ]
    return Alert(
        name=rule.name,
        expr="\nor ".join(pairs),
        hold=rule.hold_for,
        keep=rule.keep_firing_for,
        labels=own_labels(rule) | {"severity": _severity(rule, burns[0])},
        annotations=annotations(rule, f"the error budget of {rule.when} burns too fast", runbooks, "burn-rate"),
        examples=[bad, Example(series=_answered(rule, 0.5 * budget))],
    )


def _share(rule: AlertRule, window: float) -> str:
    return series(f"{_RECORDED}{duration(window)}", slo=rule.name)


def _answered(rule: AlertRule, bad: float) -> dict[str, str]:
    """Return counters of which this share is bad."""
    if not rule.judge:
        labels = labels_of(rule, "service")
        counts = {_ERRORS: 60 * bad, _REQUESTS: 60}
        return {series(counter, **labels): growing(by, rule.hold_for) for counter, by in counts.items()}
    parts = {"fail": 60 * bad, "pass": 60 * (1 - bad)}
    return {
        series(_WEIGHT, **labels_of(rule), result=result): growing(by, rule.hold_for) for result, by in parts.items()
    }
