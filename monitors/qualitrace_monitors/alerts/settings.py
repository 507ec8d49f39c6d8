"""The section `alerts`."""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, Identifier, duration_text

Quantity = Literal["pass_rate", "mean_score", "unsure_rate"]


class Condition(Section):
    """A threshold on what the scores of a judge show, written `pass_rate < 0.9`."""

    quantity: Quantity
    operator: Literal["<", ">"]
    threshold: float = Field(ge=0, le=1)

    def __str__(self) -> str:
        return f"{self.quantity} {self.operator} {self.threshold:g}"


class FalseAlarms(Section):
    """How often an alert may fire although nothing is wrong, written `5% per 30d`."""

    chance: float = Field(gt=0, le=0.5)
    period: Duration = Field(gt=0)

    def __str__(self) -> str:
        days, rest = divmod(self.period, 86_400)
        return f"{self.chance * 100:g}% per {duration_text(self.period) if rest else f'{days:.0f}d'}"


_CONDITION = re.compile(r"\s*(pass_rate|mean_score|unsure_rate)\s*(<|>)\s*([0-9]*\.?[0-9]+)\s*")
_FALSE_ALARMS = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*%\s*per\s+(\S+)\s*")
_DURATION: TypeAdapter[float] = TypeAdapter(Duration)


class AlertRule(Section):
    """Fires when the scores of a judge show that the condition holds, beyond the chance that `false_alarms` allows."""

    no_longer: ClassVar[Mapping[str, str]] = {
        "min_samples": "min_samples is no longer needed: an alert waits for as many scores as `false_alarms` takes",
        "confidence": "confidence is no longer needed: `false_alarms` says how often an alert may err",
    }

    name: Identifier
    """The label `alertname`."""
    judge: str
    """The judge whose scores are watched, by its name under `judges`."""
    when: Condition
    """`pass_rate`, `mean_score` or `unsure_rate`, `<` or `>`, and a number from 0 to 1."""
    service: str | None = None
    """The service that is watched; by default each service on its own."""
    tier: Literal["local", "llm", "scorer"] | None = None
    """Whose scores count, where a judge has several tiers: by default those of the model once there are any."""
    false_alarms: FalseAlarms = FalseAlarms(chance=0.05, period=30 * 86_400.0)
    """The chance of a false alarm within a period, for each service."""
    share: Literal["service", "rule"] = "service"
    """Whether the chance is that of each service, or that of all services of the rule together."""
    session_silence: Duration = 300.0
    """How long a session must be silent until its answers count, as one. Of several rules the shortest time holds."""
    window: Duration = Field(default=3600.0, gt=0)
    """How far back the estimate looks that is shown beside the alert. It does not decide when the alert fires."""
    hold_for: Duration = Field(default=0.0, alias="for")
    """How long the condition must hold before the alert fires."""
    keep_firing_for: Duration = 0.0
    """How long the condition must have been gone before the alert resolves."""
    severity: str = "warning"
    """The label `severity`."""
    summary: str | None = None
    """The annotation `summary`; by default a sentence with the numbers."""
    notify: tuple[str, ...] = ()
    """The receivers, by their names under `notify`."""

    @model_validator(mode="before")
    @classmethod
    def _parse_texts(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        texts: tuple[tuple[str, Callable[[str], dict[str, Any]]], ...] = (
            ("when", _parse_condition),
            ("false_alarms", _parse_false_alarms),
        )
        # A number, a list or nothing is parsed as text, too, so that the error shows how to write it.
        return data | {
            key: parse(str(data[key]))
            for key, parse in texts
            if key in data and not isinstance(data[key], (dict, Condition, FalseAlarms))
        }


def _parse_condition(text: str) -> dict[str, Any]:
    match = _CONDITION.fullmatch(text)
    if not match:
        raise ValueError(f"when must read like 'pass_rate < 0.9' or 'unsure_rate > 0.3' (got {text!r})")
    quantity, operator, threshold = match.groups()
    return {"quantity": quantity, "operator": operator, "threshold": float(threshold)}


def _parse_false_alarms(text: str) -> dict[str, Any]:
    match = _FALSE_ALARMS.fullmatch(text)
    try:
        if match:
            return {"chance": float(match[1]) / 100, "period": _DURATION.validate_python(match[2])}
    except ValidationError:
        pass
    raise ValueError(f"false_alarms must read like '5% per 30d' (got {text!r})")
