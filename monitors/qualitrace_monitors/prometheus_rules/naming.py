"""What the alerts of a rule are about, and what they are called."""

from collections.abc import Iterable, Sequence

from qualitrace_monitors.alerts import rule_watch
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.prometheus_rules.promql import fits, plain

APPROXIMATE = {"severity": "info", "approximate": "true"}
"""The labels of an alert that keeps no promise."""

TIERS = tuple(tier for tier in reversed(rule_watch.TIERS) if tier != "joined")
"""Those whose scores are counted, from the most trusted on, as in the server."""

WEIGHT, COUNT = "qualitrace_evaluations_weight_total", "qualitrace_evaluations_total"
"""The counters of judged traces: their weights, and how many they are."""

ANY_SERVICE = "shop"
"""The service of the examples of a rule that is about all."""


def services(rule: AlertRule) -> list[str]:
    """Return the matchers of the services that a rule is about."""
    matched = rule.match.root.get("service", ()) if rule.match else ()
    return [fits("service", globs) for globs in ((rule.service,) if rule.service else (), matched) if globs]


def tiers(rule: AlertRule) -> Sequence[str]:
    """Return the tiers, the first of which that has scores counts; a joined estimate has no counters."""
    return TIERS if rule.tier in (None, "joined") else (rule.tier,)


def counted_labels(rule: AlertRule) -> dict[str, str]:
    """Return the labels of counted scores, in an example."""
    return labels_of(rule) | {"tier": tiers(rule)[-1]}


def labels_of(rule: AlertRule, *names: str) -> dict[str, str]:
    """Return the labels that an alert of the rule has by its expression, in an example; `names` are those wanted."""
    found = {"service": _service(rule)}
    if rule.judge:
        found |= {"judge": rule.judge, "tier": rule.tier or "local"}
    return {name: value for name, value in found.items() if not names or name in names}


def _service(rule: AlertRule) -> str:
    """Return a service that the rule is about."""
    globs = [*([rule.service] if rule.service else []), *(rule.match.root.get("service", ()) if rule.match else ())]
    texts = (glob.replace("*", "").replace("?", "x") for glob in globs)
    fitting: Iterable[str] = (text for text in texts if text and rule.covers(text))
    return next(iter(fitting), ANY_SERVICE)


def own_labels(rule: AlertRule) -> dict[str, str]:
    """Return the labels that an alert of the rule has of its own, as templates."""
    return {name: plain(value) for name, value in ({"severity": rule.severity} | rule.labels).items()}


def annotations(
    rule: AlertRule, sentence: str, runbooks: str, page: str = "quality", service: str = "{{ $labels.service }}"
) -> dict[str, str]:
    """Return summary, description and runbook of an alert, and what the rule adds.

    Args:
        sentence: what holds.
        page: of the runbook in the folder `runbooks`, unless the rule has one.
        service: whose alert it is; by default the one in the labels of the expression.
    """
    judge = f"{rule.judge} of " if rule.judge else ""
    whole = f"{plain(judge)}{service}: {plain(sentence)}"
    return {
        "summary": plain(rule.summary) if rule.summary else whole,
        "description": whole,
        "runbook_url": plain(str(rule.runbook_url)) if rule.runbook_url else f"{runbooks}/{page}.md",
        **{name: plain(text) for name, text in rule.annotations.items()},
    }
