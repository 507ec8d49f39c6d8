"""A rule as Prometheus has it, with examples from which its tests are made."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qualitrace_monitors.prometheus_rules.promql import duration

Labels = Mapping[str, str]

LOOK = 300.0
"""How long after an alert was held it is looked at in its examples. Shares do not need windows that are full."""

_LABEL = re.compile(r"\{\{ \$labels\.(\w+) }}")
_BRACES = '{{ "{{" }}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What an alert makes of some series.

    Attributes:
        series: the values of each, as promtool's tests write them, one a minute.
        fires: the labels of the alert, but its own; None if it must not fire.
        severities: those with which alerts of its name fire, where its own is not the only one.
    """

    series: Mapping[str, str]
    fires: Labels | None = None
    severities: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A recording rule."""

    name: str
    expr: str
    labels: Labels = field(default_factory=dict[str, str])

    def written(self) -> dict[str, Any]:
        """Return it as the file has it."""
        return {"record": self.name, "expr": self.expr} | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alerting rule.

    Attributes:
        hold, keep: `for` and `keep_firing_for`, seconds.
        labels: its own; the expression's come to them.
        annotations: templates, of labels alone.
        examples: at least one in which it fires, and one in which it does not, `LOOK` seconds after it was held.
    """

    name: str
    expr: str
    hold: float = 0.0
    keep: float = 0.0
    labels: Labels
    annotations: Mapping[str, str]
    examples: Sequence[Example]

    def written(self) -> dict[str, Any]:
        """Return it as the file has it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": duration(self.hold)} if self.hold else {}),
            **({"keep_firing_for": duration(self.keep)} if self.keep else {}),
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
        }

    def tests(self) -> list[dict[str, Any]]:
        """Return what `promtool test rules` shall find."""
        return [self._test(example) for example in self.examples]

    def _test(self, example: Example) -> dict[str, Any]:
        severities = example.severities or (self.labels["severity"],)
        fires = example.fires
        expected = [] if fires is None else [self._firing(fires, severity) for severity in severities]
        return {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in example.series.items()],
            "alert_rule_test": [
                {"eval_time": duration(self.hold + LOOK), "alertname": self.name, "exp_alerts": expected},
            ],
        }

    def _firing(self, labels: Labels, severity: str) -> dict[str, Any]:
        def render(template: str) -> str:
            return _LABEL.sub(lambda found: labels.get(found[1], ""), template.replace(_BRACES, "{{"))

        annotations = {name: render(template) for name, template in self.annotations.items()}
        own = {name: template.replace(_BRACES, "{{") for name, template in self.labels.items()}
        return {
            "exp_labels": {**labels, **own, "severity": severity.replace(_BRACES, "{{")},
            "exp_annotations": annotations,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that Prometheus evaluates one after another."""

    name: str
    rules: Sequence[Record | Alert]

    def written(self) -> dict[str, Any]:
        """Return it as the file has it."""
        return {"name": self.name, "rules": [rule.written() for rule in self.rules]}


def steady(value: float, hold: float) -> str:
    """Write a gauge of one value, until an alert that is held so many seconds is looked at."""
    return f"{value:g}x{_minutes(hold)}"


def growing(by: float, hold: float) -> str:
    """Write a counter that grows each minute by as much, until then."""
    return f"0+{by:g}x{_minutes(hold)}"


def _minutes(hold: float) -> int:
    return math.ceil((hold + LOOK) / 60)
