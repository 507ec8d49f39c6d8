"""Reading Retry-After."""

import math
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.process.backoff import seconds_asked


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-5", 0.0), ("soon", None), ("", None), ("inf", None), ("nan", None), (None, None)],
)
def test_seconds(header: str | None, seconds: float | None) -> None:
    """Whole and broken numbers are read, what is past is now, and what is not a time is none."""
    assert seconds_asked(header, 0.0) == seconds


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(0, 4_000_000_000))
def test_dates(moment: datetime, now: int) -> None:
    """An HTTP date is as far away as it is, and now if it is past."""
    date = moment.replace(microsecond=0, tzinfo=UTC)
    assert seconds_asked(format_datetime(date, usegmt=True), now) == max(0.0, date.timestamp() - now)


def test_a_date_in_the_oldest_form_is_in_gmt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the time zone of this host is."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert seconds_asked("Sun Nov  6 08:49:37 1994", 784_111_770.0) == 7.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.text() | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,9} \d{1,3}:\d{1,3}:\d{1,3}( \S{1,6})?", fullmatch=True))
def test_anything(header: str) -> None:
    """No header raises, or asks for a time that a clock cannot be added to."""
    seconds = seconds_asked(header, 1_800_000_000.0)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
