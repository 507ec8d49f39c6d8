"""The quantities that a rule may watch, and how their values are written.

`FORMS` has a line for each: what it is measured in, whose it is, and which kind of rule watches it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from qualitrace_collector.config.values import Duration, amount_text, duration_text

Unit = Literal["share", "duration", "USD", "count"]
KindName = Literal["scores", "control", "requests", "spend", "silence", "own_health", "slo"]
Judge = Literal["needed", "possible", "useless"]

PROMISING: tuple[KindName, ...] = ("scores", "control", "requests")
"""Kinds that keep `false_alarms`: they bet on each value. The others compare a fact with a threshold."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a quantity is watched.

    Attributes:
        judge: whether the rule names a judge.
        operators: those that make sense; empty for a form of its own words.
    """

    kind: KindName
    unit: Unit
    judge: Judge
    operators: str = ">"


_PERCENTILES = {f"p{n}_{what}": Form("requests", "duration", "useless")
                for what in ("duration", "time_to_first_token") for n in (50, 75, 90, 95, 99)}  # fmt: skip

FORMS: Mapping[str, Form] = {
    "pass_rate": Form("scores", "share", "needed", "<>"),
    "mean_score": Form("scores", "share", "needed", "<>"),
    "unsure_rate": Form("scores", "share", "needed", "><"),
    "no_scores": Form("silence", "duration", "needed", ""),
    "error_rate": Form("requests", "share", "useless"),
    **_PERCENTILES,
    "cost_per_hour": Form("spend", "USD", "useless"),
    "tokens_per_hour": Form("spend", "count", "useless"),
    "no_requests": Form("silence", "duration", "useless", ""),
    "budget_spent": Form("own_health", "share", "possible"),
    "judge_error_rate": Form("own_health", "share", "possible"),
    "freshness": Form("own_health", "duration", "possible"),
    "backlog": Form("own_health", "count", "possible"),
    "slo": Form("slo", "share", "possible", ""),
}

_NUMBER = r"[0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+"
_DURATION: TypeAdapter[float] = TypeAdapter(Duration)


def written(value: float, unit: Unit) -> str:
    """Write a value in its unit: `0.9`, `15m`, `3 USD`, `1,000,000`."""
    if unit == "duration":
        return duration_text(round(value, 3))
    return {"share": f"{value:g}", "USD": f"{amount_text(value)} USD", "count": f"{value:,.0f}"}[unit]


def amount(text: str, unit: Unit) -> float:
    """Read a number in its unit.

    Raises:
        ValueError: it is none.
    """
    if unit == "duration":
        try:
            return _DURATION.validate_python(float(text) if re.fullmatch(_NUMBER, text) else text)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    suffix = {"share": "%", "USD": "(?i:USD)", "count": "tokens"}[unit]
    found = re.fullmatch(rf"({_NUMBER})(?: ?({suffix}))?", text)
    value = round(float(found[1]) / (100 if found[2] == "%" else 1), 6) if found else math.nan
    if unit == "share" and not 0 <= value <= 1:
        raise ValueError(f"must be a share from 0 to 1, such as 0.05, or 5% (got {text!r})")
    if not math.isfinite(value):
        example = "a number of US dollars such as 3" if unit == "USD" else "a number such as 1000"
        raise ValueError(f"must be {example} (got {text!r})")
    return value
