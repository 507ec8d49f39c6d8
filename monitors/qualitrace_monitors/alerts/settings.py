"""The section `alerts`."""

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import Duration, Identifier


class Condition(Section):
    """A threshold on an estimate, written `pass_rate < 0.9`."""

    quantity: Literal["pass_rate", "mean_score"]
    operator: Literal["<", ">"]
    threshold: float = Field(ge=0, le=1)

    def __str__(self) -> str:
        return f"{self.quantity} {self.operator} {self.threshold:g}"


_CONDITION = re.compile(r"^\s*(pass_rate|mean_score)\s*(<|>)\s*([0-9]*\.?[0-9]+)\s*$")


class AlertRule(Section):
    """Fires when the interval of an estimate lies wholly beyond the threshold for long enough."""

    name: Identifier
    """The label `alertname`."""
    judge: str
    """The judge whose scores are watched, by its name under `judges`."""
    when: Condition
    """`pass_rate` or `mean_score`, `<` or `>`, and a number from 0 to 1."""
    service: str | None = None
    """The service that is watched; by default each service on its own."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """The confidence of the interval that must lie beyond the threshold."""
    window: Duration = Field(default=3600.0, gt=0)
    """How far back the estimate looks."""
    min_samples: int = Field(default=20, ge=1)
    """With fewer scores the alert neither fires nor resolves."""
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
    def _parse_condition(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("when"), str):
            match = _CONDITION.match(data["when"])
            if not match:
                raise ValueError(f"when must read like 'pass_rate < 0.9' or 'mean_score < 0.5' (got {data['when']!r})")
            quantity, operator, threshold = match.groups()
            data = {
                **data,
                "when": {"quantity": quantity, "operator": operator, "threshold": float(threshold)},
            }
        return data
