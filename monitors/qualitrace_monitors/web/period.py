"""The time that a page is about, from the parameters `from`, `to` and `window` of its address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import TypeAdapter, ValidationError

from qualitrace_collector.config.values import Duration, duration_text
from qualitrace_monitors.answers.query import moment
from qualitrace_monitors.estimate.scores import KEEP_SECONDS
from qualitrace_monitors.moments import minute
from qualitrace_monitors.web.page import BadQuery

WINDOWS = ("1h", "6h", "24h", "7d", "30d")
DEFAULT = "24h"
SHORTEST, LONGEST = 60.0, KEEP_SECONDS

_SECONDS: TypeAdapter[float] = TypeAdapter(Duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time, in Unix seconds.

    Attributes:
        window: as the reader gave it; empty where `from` was given.
        fields: the parameters that ask for the same.
        is_cut: whether it was asked for from a time on of which nothing is kept any more.
    """

    start: float
    end: float
    window: str
    fields: Mapping[str, str]
    is_cut: bool = False

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    @property
    def words(self) -> str:
        """What it is called: `the last 24 h`, or from when until when."""
        if self.window:
            return f"the last {duration_text(self.seconds)}"
        return f"{minute(self.start)} to {minute(self.end)}"

    @classmethod
    def read(cls, query: Mapping[str, str], now: float) -> Self:
        """Read it from the parameters of an address.

        Raises:
            BadQuery: one of them cannot be read, or they contradict each other; the text says which.
        """
        fields = {name: query[name] for name in ("from", "to", "window") if query.get(name)}
        if "from" not in fields:
            if "to" in fields:
                raise BadQuery("to is of use with from alone, such as from=2026-11-28T03:00:00Z")
            window = _window(fields.get("window", DEFAULT))
            return cls(start=now - window, end=now, window=fields.get("window", DEFAULT), fields=fields)
        if "window" in fields:
            raise BadQuery("give window or from, not both")
        start, end = _moment("from", fields["from"], now), _moment("to", fields.get("to", ""), now)
        if start >= end:
            raise BadQuery(f"from must be before {'to' if 'to' in fields else 'now'} (got {fields['from'][:40]!r})")
        oldest = now - LONGEST
        if end - SHORTEST < oldest:
            raise BadQuery("to must be within the last 30 days: older scores are in MLflow alone")
        begin = min(max(start, oldest), end - SHORTEST)
        return cls(start=begin, end=end, window="", fields=fields, is_cut=start < oldest)


def _window(text: str) -> float:
    try:
        seconds = _SECONDS.validate_python(text)
    except ValidationError:
        seconds = 0.0
    if not SHORTEST <= seconds <= LONGEST:
        raise BadQuery(f"window must be a time from 1m to 30d, such as {', '.join(WINDOWS)} (got {text[:40]!r})")
    return seconds


def _moment(name: str, text: str, now: float) -> float:
    """Return a time in Unix seconds; `now` if it is empty or later."""
    try:
        at = moment(name, text)
    except ValueError as error:
        raise BadQuery(str(error)) from None
    return now if at is None else min(at, now)
