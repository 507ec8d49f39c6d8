"""The section `alerts`."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from pydantic import Field, GetJsonSchemaHandler, TypeAdapter, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, Identifier, duration_text
from qualitrace_collector.pipeline.match import Match
from qualitrace_collector.sample import SLICES
from qualitrace_monitors.alerts.condition import Condition
from qualitrace_monitors.alerts.labels import Annotations, Labels, LabelValue, Link
from qualitrace_monitors.alerts.quantities import PROMISING


class FalseAlarms(Section):
    """How often an alert may fire although nothing is wrong, written `5% per 30d`."""

    chance: float = Field(gt=0, le=0.5)
    period: Duration = Field(gt=0)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return that of its text."""
        return {"type": "string", "examples": ["5% per 30d"]}

    def __str__(self) -> str:
        return f"{self.chance * 100:g}% per {duration_text(self.period)}"


SESSION_SILENCE = 300.0
"""Seconds after which a session is over: who has not asked again in five minutes mostly does not."""

_FALSE_ALARMS = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*%\s*per\s+(\S+)\s*")
_DURATION: TypeAdapter[float] = TypeAdapter(Duration)


class AlertRule(Section):
    """Fires when its condition is shown to hold: beyond the chance of `false_alarms`, or as a fact."""

    no_longer: ClassVar[Mapping[str, str]] = {
        "min_samples": "min_samples is no longer needed: an alert waits for as many scores as `false_alarms` takes",
        "confidence": "confidence is no longer needed: `false_alarms` says how often an alert may err",
        "slo": "an SLO is a condition: write when: slo 95% over 30d",
    }

    name: Identifier
    """The label `alertname`."""
    judge: str | None = None
    """The judge whose scores are watched, by its name under `judges`; a rule about requests has none."""
    when: Condition
    """What is watched, and when it is wrong: `pass_rate < 0.9`, or
    [another form](alert-rules.md#what-a-rule-may-watch)."""
    canary: Match | None = None
    """The traffic that `drop … from control` watches, by the same names as `match`, but `service`."""
    control: Match | None = None
    """The traffic that it is compared with."""
    service: str | None = Field(default=None, min_length=1)
    """The services that are watched, a name or a glob; each has an alert of its own. By default all."""
    match: Match | None = None
    """Some of their traffic alone, by service, model, prompt version, release, environment, route and retriever."""
    tier: Literal["local", "llm", "scorer", "joined"] | None = None
    """Whose scores count, where a judge has a cascade: one tier, or by default
    [`joined`](../explanation/alerts.md#cascades), both."""
    false_alarms: FalseAlarms = FalseAlarms(chance=0.05, period=30 * 86_400.0)
    """The chance of a false alarm within a period, for each service."""
    share: Literal["service", "rule"] = "service"
    """Whether the chance is that of each service, or that of all services of the rule together."""
    session_silence: Duration = SESSION_SILENCE
    """How long a session must be silent until its answers count, as one. Of several rules the shortest time holds."""
    window: Duration = Field(default=3600.0, gt=0)
    """How far back the estimate looks that is shown beside the alert. It does not decide when the alert fires."""
    hold_for: Duration = Field(default=0.0, alias="for")
    """How long the condition must hold before the alert fires."""
    keep_firing_for: Duration = 0.0
    """How long the condition must have been gone before the alert resolves."""
    severity: LabelValue = "warning"
    """The label `severity`."""
    labels: Labels = Field(default_factory=dict[str, str])
    """More labels, by which receivers route: names as Prometheus takes them, at most 10."""
    summary: str | None = None
    """The annotation `summary`; by default a sentence with the numbers."""
    annotations: Annotations = Field(default_factory=dict[str, str])
    """More annotations, such as the address of a chat: at most 10."""
    runbook_url: Link | None = None
    """The annotation `runbook_url`: what to do when the alert fires."""
    notify: tuple[str, ...] = ()
    """The receivers, by their names under `notify`."""

    @model_validator(mode="before")
    @classmethod
    def _parse_texts(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        texts: tuple[tuple[str, Callable[[str], Any]], ...] = (
            ("when", _parse_condition),
            ("false_alarms", _parse_false_alarms),
        )
        # A number, a list or nothing is parsed as text, too, so that the error shows how to write it.
        return data | {
            key: parse(str(data[key])) for key, parse in texts if key in data and not isinstance(data[key], _READ[key])
        }

    @model_validator(mode="after")
    def _fits_together(self) -> "AlertRule":
        if mistakes := [*_mistakes(self), *_traffic_mistakes(self)]:
            raise ValueError("; ".join(mistakes))
        return self

    def covers(self, service: str) -> bool:
        """Whether the rule is about a service, or about a part of its traffic."""
        named = self.service is None or fnmatchcase(service, self.service)
        return named and (self.match is None or self.match.may_hold_in(service))

    def is_of_use(self, key: str) -> bool:
        """Whether the key says anything about what the rule watches."""
        return key not in _OF_USE or self.when.kind in _OF_USE[key]

    @property
    def is_of_services(self) -> bool:
        """Whether it is about all traffic of its services."""
        return self.match is None or self.match.is_of_services


def _mistakes(rule: AlertRule) -> Iterator[str]:
    """Yield what a rule lacks, and what is given although it says nothing about what the rule watches."""
    when = rule.when
    if when.form.judge == "needed" and rule.judge is None:
        yield f"judge: is required, whose scores does {str(when)!r} watch?"
    if when.form.judge == "useless" and rule.judge is not None:
        yield f"judge: {when.quantity} is of every request, judged or not; leave the judge out"
    for name, release in (("canary", "1.5.0"), ("control", "1.4.1")):
        if when.reference == "control" and getattr(rule, name) is None:
            yield f"{name}: is required for a drop from control, for example {name}: {{release: {release}}}"
        if when.reference != "control" and getattr(rule, name) is not None:
            yield f"{name}: is of use with 'drop > 0.05 from control' alone"
    if rule.canary is not None and rule.canary == rule.control:
        yield "canary: is the same traffic as control"
    yield from _useless(rule)


def _useless(rule: AlertRule) -> Iterator[str]:
    """Yield what says nothing about what the rule watches."""
    when = rule.when
    for name in rule.model_fields_set:
        if not rule.is_of_use(name):
            yield f"{name}: is of no use with {str(when)!r}"
    if rule.tier is not None and rule.judge is None:
        yield "tier: is of a judge's scores; name the judge"
    if rule.tier == "joined" and not can_be_joined(when):
        yield f"tier: {str(when)!r} is about one tier, local or llm"


def can_be_joined(when: Condition) -> bool:
    """Whether the tiers of a cascade can be joined for it: what a judge is unsure of is that judge's."""
    return when.kind in ("scores", "control") and when.quantity != "unsure_rate"


def _traffic_mistakes(rule: AlertRule) -> Iterator[str]:
    """Yield where the traffic that a rule is about cannot be told apart by what it watches."""
    when = rule.when
    if when.kind == "own_health":
        for name in {"service", "match"} & rule.model_fields_set:
            yield f"{name}: {when.quantity} is of qualitrace itself, not of a service"
    elif rule.match is not None:
        known = ("service", *SLICES) if when.kind in PROMISING else ("service",)
        yield from _unknown("match", rule.match, known, str(when))
    for key, side in (("canary", rule.canary), ("control", rule.control)):
        if side is not None:
            yield from _unknown(key, side, SLICES, str(when))


def _unknown(key: str, match: Match, known: Collection[str], when: str) -> Iterator[str]:
    for name in match.names_beyond(known):
        yield f"{key}: {when!r} is known by {', '.join(known)} alone (got {name!r})"


_OF_USE: Mapping[str, tuple[str, ...]] = {
    "false_alarms": PROMISING,
    "share": PROMISING,
    "session_silence": PROMISING,
    "tier": ("scores", "control", "silence", "slo"),
    "window": ("scores", "control"),
}
"""Keys that only some kinds of rules read."""


_READ: Mapping[str, tuple[type, ...]] = {"when": (Condition,), "false_alarms": (FalseAlarms, dict)}
"""What need not be parsed."""


def _parse_condition(text: str) -> Condition:
    try:
        return Condition.parse(text)
    except ValueError as error:
        raise ValueError(f"when: {error}") from None


def _parse_false_alarms(text: str) -> dict[str, Any]:
    match = _FALSE_ALARMS.fullmatch(text)
    try:
        if match:
            return {"chance": float(match[1]) / 100, "period": _DURATION.validate_python(match[2])}
    except ValidationError:
        pass
    raise ValueError(f"false_alarms must read like '5% per 30d' (got {text!r})")
