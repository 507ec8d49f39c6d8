"""What a rule watches, written as one sentence: `pass_rate < 0.9`, `p95_duration > 5s`, `no_scores for 15m`.

`quantities.py` says which quantities there are.
"""

import difflib
import re
from typing import Literal, Self, get_args

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from qualitrace_collector.config.section import Section
from qualitrace_collector.config.values import duration_text
from qualitrace_monitors.alerts.quantities import FORMS, Form, KindName, amount, written
from qualitrace_monitors.estimate.estimator import Quantity

Reference = Literal["baseline", "control"]

EXAMPLES = (
    "pass_rate < 0.9",
    "drop > 0.05 from baseline",
    "no_scores for 15m",
    "error_rate > 5%",
    "p95_duration > 5s",
    "cost_per_hour > 3",
    "freshness > 5m",
    "slo 95% over 30d",
)

SHORTEST_PERIOD, LONGEST_PERIOD = 7 * 86_400.0, 30 * 86_400.0
"""Bounds on the period of an SLO: its longest window is three days, and sums are kept for 30 days."""

_COMPARED = re.compile(r"(\w+) ?(<=?|>=?) ?(.+)")
_DROP = re.compile(r"(?:(\w+) )?drop ?> ?(.+?) from (\w+)")
_SILENCE = re.compile(r"(\w+) for (\S+)")
_SLO = re.compile(r"slo (.+?) over (\S+)")


class Condition(Section):
    """What a rule watches.

    Attributes:
        threshold: a share as 0 to 1, seconds, US dollars or a number; of a drop, by how much; of an SLO, the objective.
        reference: what a drop is from.
        period: of an SLO, seconds.
    """

    quantity: str
    operator: Literal["<", ">"]
    threshold: float
    reference: Reference | None = None
    period: float = 0.0

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return that of its sentence."""
        return {"type": "string", "examples": list(EXAMPLES)}

    @property
    def form(self) -> Form:
        """How its quantity is watched."""
        return FORMS[self.quantity]

    @property
    def kind(self) -> KindName:
        """The kind of rule that watches it."""
        return "control" if self.reference == "control" else self.form.kind

    @property
    def score_quantity(self) -> Quantity:
        """What it is about, where that is of scores."""
        return next(name for name in get_args(Quantity) if name == self.quantity)

    @property
    def percentile(self) -> float | None:
        """The share of the requests that stay below the threshold, of a `p95_…`; else None."""
        found = re.match(r"p(\d+)_", self.quantity)
        return int(found[1]) / 100 if found else None

    @property
    def limit(self) -> float:
        """The mean of 0/1 values, or of scores, at which the condition begins to hold.

        95 % are faster than 5 s exactly if the share of the slower ones is 5 % at most.
        """
        return self.threshold if self.percentile is None else round(1 - self.percentile, 2)

    def shown(self, value: float) -> str:
        """Write a value of its quantity."""
        return f"{value:.3f}" if self.form.unit == "share" else written(value, self.form.unit)

    def __str__(self) -> str:
        shown = written(self.threshold, self.form.unit)
        if self.quantity == "slo":
            return f"slo {shown} over {duration_text(self.period)}"
        if self.reference:
            return f"{self.quantity} drop > {shown} from {self.reference}"
        return f"{self.quantity} {self.operator if self.form.operators else 'for'} {shown}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a condition.

        Raises:
            ValueError: it is none; the text says how it must read.
        """
        text = " ".join(text.split())
        for form, read in ((_SLO, cls._slo), (_DROP, cls._drop), (_SILENCE, cls._silence), (_COMPARED, cls._compared)):
            if found := form.fullmatch(text):
                return read(*found.groups())
        first = (re.match(r"\w*", text) or [""])[0]
        _known(first, text)
        raise ValueError(_is_written(first, text))

    @classmethod
    def _slo(cls, objective: str, period: str) -> Self:
        share, seconds = amount(objective, "share"), amount(period, "duration")
        if not 0 < share < 1:
            raise ValueError(f"the objective of an SLO lies between 0 and 100%: 'slo 95% over 30d' (got {objective!r})")
        if not SHORTEST_PERIOD <= seconds <= LONGEST_PERIOD:
            raise ValueError(f"the period of an SLO is 7d to 30d: 'slo 95% over 30d' (got {period!r})")
        return cls(quantity="slo", operator="<", threshold=share, period=seconds)

    @classmethod
    def _drop(cls, quantity: str | None, by: str, reference: str) -> Self:
        if quantity not in (None, "pass_rate", "mean_score"):
            raise ValueError(f"a drop is of pass_rate or mean_score: 'drop > 0.05 from baseline' (got {quantity!r})")
        drop = amount(by, "share")
        if not 0 < drop < 1:
            raise ValueError(f"a drop is more than 0 and less than 1: 'drop > 0.05 from baseline' (got {by!r})")
        if reference == "baseline":
            return cls(quantity=quantity or "pass_rate", operator="<", threshold=drop, reference="baseline")
        if reference == "control":
            return cls(quantity=quantity or "pass_rate", operator="<", threshold=drop, reference="control")
        raise ValueError(f"a drop is from baseline or from control (got {reference!r})")

    @classmethod
    def _silence(cls, quantity: str, time: str) -> Self:
        form, text = _known(quantity, quantity), f"{quantity} for {time}"
        seconds = amount(time, "duration") if form.kind == "silence" else 0.0
        if seconds <= 0:
            raise ValueError(_is_written(quantity, text))
        return cls(quantity=quantity, operator=">", threshold=seconds)

    @classmethod
    def _compared(cls, quantity: str, operator: str, value: str) -> Self:
        text = f"{quantity} {operator} {value}"
        form = _known(quantity, text)
        if not form.operators:
            raise ValueError(_is_written(quantity, text))
        if operator not in tuple(form.operators):
            wanted = " or ".join(form.operators)
            raise ValueError(f"{quantity} is watched with {wanted} (got {text!r})")
        threshold = amount(value, form.unit)
        if form.unit == "share" and threshold == (0.0 if operator == "<" else 1.0):
            raise ValueError(f"{quantity} is never {operator} {value}: it lies within 0 and 1")
        return cls(quantity=quantity, operator="<" if operator == "<" else ">", threshold=threshold)


def _is_written(quantity: str, text: str) -> str:
    """Say how a condition on a known quantity is written."""
    form = FORMS[quantity]
    value = {"share": "90%" if form.operators[:1] == "<" else "5%", "duration": "5m", "USD": "3", "count": "1000"}[
        form.unit
    ]
    example = f"{quantity} {form.operators[:1]} {value}" if form.operators else f"{quantity} for 15m"
    return f"{quantity} is written {'slo 95% over 30d' if quantity == 'slo' else example!r} (got {text!r})"


def _known(quantity: str, text: str) -> Form:
    """Return the form of a quantity.

    Raises:
        ValueError: there is none; it says which may be meant.
    """
    if quantity in FORMS:
        return FORMS[quantity]
    if "drop" in text.split():
        raise ValueError(f"a drop is written 'drop > 0.05 from baseline' or 'drop > 0.05 from control' (got {text!r})")
    if not re.fullmatch(r"[A-Za-z]\w+", quantity):
        raise ValueError(_must_read(text))
    close = difflib.get_close_matches(quantity.lower(), FORMS, n=1)
    names = [name for name in FORMS if not re.match(r"p\d+_", name) or name.startswith("p95_")]
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
    raise ValueError(f"unknown quantity {quantity!r}, {hint}")


def _must_read(text: str) -> str:
    return f"must read like {', '.join(map(repr, EXAMPLES[:-1]))} or {EXAMPLES[-1]!r} (got {text!r})"
