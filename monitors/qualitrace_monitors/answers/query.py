"""What answers are asked for: the parameters of an address, and what they admit."""

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, TypeVar, get_args
from urllib.parse import urlencode

from pydantic import TypeAdapter, ValidationError

from qualitrace_collector.config.values import Duration
from qualitrace_collector.sample import SLICES

Verdict = Literal["not_passed", "fail", "unsure", "pass", "any"]
Order = Literal["newest", "worst"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
ORDERS: tuple[Order, ...] = get_args(Order)

LONGEST = 300
"""Characters of a parameter."""
_NAMES = ("service", "judge", "session", "session_of", "text", *SLICES)
_SECONDS = TypeAdapter[float](Duration)
_Choice = TypeVar("_Choice", bound=str)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of answers begins: after the last trace of the page before.

    Attributes:
        value: of the score, for the order `worst`.
        at: when the trace was completed, Unix seconds.
    """

    value: float
    at: float
    trace_id: str

    def __str__(self) -> str:
        return f"{self.value!r}~{self.at!r}~{self.trace_id}"

    @classmethod
    def read(cls, text: str) -> "Place":
        """Read what `str` wrote, or raise ValueError."""
        value, at, trace_id = text.split("~", 2)
        place = cls(float(value), float(at), trace_id)
        if not (math.isfinite(place.value) and math.isfinite(place.at)):
            raise ValueError(text)
        return place


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerQuery:
    """Which answers, in which order, from which on; the empty text stands for all.

    Attributes:
        since, until: Unix seconds; None where there is no bound.
        window: as the reader gave it, in place of `since`.
        text: that question or answer holds, in any case.
        session_of: a trace whose session is meant, so that an address need not hold what names a person.
        slices: values by their names.
    """

    verdict: Verdict = "not_passed"
    order: Order = "newest"
    service: str = ""
    judge: str = ""
    session: str = ""
    session_of: str = ""
    text: str = ""
    slices: Mapping[str, str]
    window: str = ""
    since: float | None = None
    until: float | None = None
    after: Place | None = None

    @classmethod
    def read(cls, given: Mapping[str, str], now: float) -> "AnswerQuery":
        """Read the parameters of an address; unknown ones do not matter.

        Raises:
            ValueError: one cannot be read; the message says which and what it may be.
        """
        texts = {name: given.get(name, "").strip() for name in _NAMES}
        for name, text in texts.items():
            if len(text) > LONGEST:
                raise ValueError(f"{name} must have at most {LONGEST} characters")
        window = given.get("window", "")
        since, until = (moment(name, given.get(name, "")) for name in ("from", "to"))
        if window and since is not None:
            raise ValueError("give window or from, not both")
        return cls(
            verdict=_one_of("verdict", VERDICTS, given),
            order=_one_of("order", ORDERS, given),
            slices={name: texts[name] for name in SLICES if texts[name]},
            window=window,
            since=(until or now) - _window(window) if window else since,
            until=until,
            after=_place(given.get("after", "")),
            **{name: text for name, text in texts.items() if name not in SLICES},
        )

    def address(self, now: float, after: Place | None = None) -> str:
        """Return the query of an address that asks for the same, from `after` on; times that go on stay as they are."""
        fields = {name: getattr(self, name) for name in ("service", "judge", "session", "session_of", "text", "window")}
        fields |= self.slices
        if self.verdict != "not_passed":
            fields["verdict"] = self.verdict
        if self.order != "newest":
            fields["order"] = self.order
        if not self.window and self.since is not None:
            fields["from"] = _written(self.since)
        if self.until is not None or after is not None:
            fields["to"] = _written(now if self.until is None else self.until)
        if after is not None:
            fields["after"] = str(after)
        return urlencode({name: text for name, text in fields.items() if text})

    def until_moment(self, until: float) -> "AnswerQuery":
        """Return the same for what was before a moment (Unix seconds)."""
        return replace(self, until=until, after=None)

    def admits(self, row: sqlite3.Row) -> bool:
        """Whether a row of the score table is one of those asked for, but for its time, session and texts."""
        wanted = {"not_passed": row["label"] != "pass", "any": True}.get(self.verdict, row["label"] == self.verdict)
        names = {"service": self.service, "judge": self.judge, **self.slices}
        return wanted and all(not text or row[name] == text for name, text in names.items())


def _one_of(name: str, choices: tuple[_Choice, ...], given: Mapping[str, str]) -> _Choice:
    text = given.get(name) or choices[0]
    for choice in choices:
        if choice == text:
            return choice
    raise ValueError(f"{name} must be one of {', '.join(choices)} (got {text[:40]!r})")


def _window(text: str) -> float:
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise ValueError(f"window must be a duration such as 15m, 1h or 7d (got {text[:40]!r})") from None


def moment(name: str, text: str) -> float | None:
    """Return the time in the parameter `name` of an address as Unix seconds; None if it is empty.

    Raises:
        ValueError: it is none from 1970 to 9999; the message says what it may be.
    """
    text = text.strip()
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)  # in a query + is a blank
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        if seconds >= 0 and datetime.fromtimestamp(
            seconds, UTC
        ):  # a time zone may lead out of the years that there are
            return seconds
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be a time such as 2026-11-28T03:00:00Z, from 1970 on (got {text[:40]!r})")


def _place(text: str) -> Place | None:
    try:
        return Place.read(text) if text else None
    except ValueError:
        raise ValueError("after must be as a link of this page has it") from None


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
