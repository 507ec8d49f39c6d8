"""What PromQL can say of quality by itself: rates over a window, over all servers, without a promise.

The counters are sums of weights, so that the rates are those of all traffic although a part of it is judged.
"""

from collections.abc import Iterator

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.prometheus_rules.naming import (
    APPROXIMATE,
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

LEAST = 30
"""The answers, or requests, that a window has at least where a share of them is looked at."""

_VALUE = "qualitrace_evaluations_weighted_value_total"
_A_MINUTE = 60


def rates(window: float) -> Iterator[Record]:
    """Yield the weighted rates over a window, by judge, tier and service."""

    def total(counter: str, function: str = "rate") -> str:
        return f"sum by (judge, tier, service) ({function}({counter}[{duration(window)}]))"

    shares = {
        "pass_rate": (total(f'{WEIGHT}{{result="pass"}}'), total(f'{WEIGHT}{{result=~"pass|fail"}}')),
        "unsure_rate": (total(f'{WEIGHT}{{result="unsure"}}'), total(WEIGHT)),
        "mean_score": (total(_VALUE), total(WEIGHT)),
    }
    for quantity, (part, whole) in shares.items():
        yield Record(name=_recorded(quantity, window), expr=f"{part}\n/\n{whole}")
    yield Record(name=_answers(window), expr=total(COUNT, "increase"))


def _recorded(quantity: str, window: float) -> str:
    return f"judge_tier_service:qualitrace_{quantity}:ratio_rate{duration(window)}"


def _answers(window: float) -> str:
    return f"judge_tier_service:qualitrace_evaluations:increase{duration(window)}"


def windowed_scores(rule: AlertRule, runbooks: str) -> Alert:
    """Compare a rate over the window with the threshold."""
    when, of = rule.when, [equals("judge", rule.judge or ""), *services(rule)]
    rate = "\n  or on (service) ".join(
        selector(_recorded(when.quantity, rule.window), *of, equals("tier", tier)) for tier in tiers(rule)
    )
    bad = {"pass_rate": ("pass", "fail"), "mean_score": ("pass", "fail"), "unsure_rate": ("unsure", "pass")}
    highest, lowest = bad[when.quantity]
    fails, passes = (lowest, highest) if when.operator == "<" else (highest, lowest)
    shown = f"{when} over {duration(rule.window)}, approximately"
    return _alert(
        rule,
        f"({rate}) {when.operator} {when.threshold:g}\nand {_answers(rule.window)} >= {LEAST}",
        annotations(rule, shown, runbooks),
        Example(series=_answered(rule, fails), fires=counted_labels(rule)),
        Example(series=_answered(rule, passes)),
    )


def _answered(rule: AlertRule, result: str) -> dict[str, str]:
    """Return the counters of answers that all have one result; a pass has the value 1, the others 0."""
    labels, time = counted_labels(rule), rule.hold_for
    found = {
        series(WEIGHT, **labels, result=each): growing(_A_MINUTE * (each == result), time)
        for each in ("pass", "fail", "unsure")
    }
    value = growing(_A_MINUTE * (result == "pass"), time)
    return found | {
        series(COUNT, **labels, result=result): growing(_A_MINUTE, time),
        series(_VALUE, **labels): value,
    }


def windowed_requests(rule: AlertRule, runbooks: str) -> Alert:
    """Compare a share of the requests, or a percentile from a histogram, with the threshold."""
    when, of, labels = rule.when, services(rule), labels_of(rule, "service")

    def total(counter: str, by: str = "service", function: str = "rate") -> str:
        return f"sum by ({by}) ({function}({selector(counter, *of)}[{duration(rule.window)}]))"

    if when.percentile is None:
        errors, all_of_them = "qualitrace_request_errors_total", "qualitrace_requests_total"
        expr = f"{total(errors)}\n/ {total(all_of_them)}"
        bad, good = ({series(errors, **labels): growing(by, rule.hold_for)} for by in (_A_MINUTE, 0))
    else:
        what = "request_duration" if when.quantity.endswith("_duration") else "time_to_first_token"
        metric = f"qualitrace_{what}_seconds_bucket"
        expr = f"histogram_quantile({when.percentile:g}, {total(metric, 'service, le')})"
        bad, good = (_slow(rule, metric, below) for below in (0, _A_MINUTE))
    requests = {series("qualitrace_requests_total", **labels): growing(_A_MINUTE, rule.hold_for)}
    return _alert(
        rule,
        f"{expr}\n> {when.threshold:g}\nand {total('qualitrace_requests_total', function='increase')} >= {LEAST}",
        annotations(rule, f"{when} over {duration(rule.window)}, approximately", runbooks),
        Example(series=requests | bad, fires=labels),
        Example(series=requests | good),
    )


def _slow(rule: AlertRule, metric: str, below: float) -> dict[str, str]:
    """Return a histogram with so many requests a minute below the threshold, and the rest up to twice of it."""
    threshold = rule.when.threshold
    buckets = {f"{threshold:g}": below, f"{2 * threshold:g}": _A_MINUTE, "+Inf": _A_MINUTE}
    return {
        series(metric, **labels_of(rule, "service"), le=le): growing(by, rule.hold_for) for le, by in buckets.items()
    }


def _alert(rule: AlertRule, expr: str, notes: dict[str, str], *examples: Example) -> Alert:
    return Alert(
        name=f"{rule.name}-windowed",
        expr=expr,
        hold=rule.hold_for,
        keep=rule.keep_firing_for,
        labels={**own_labels(rule), **APPROXIMATE},
        annotations=notes,
        examples=examples,
    )
