"""How long to wait after failures: by a schedule, for loops and durable queues, or as a server asks by `Retry-After`.

A call that may block its caller until it succeeds is better repeated by `tenacity.Retrying`.
"""

import math
from datetime import UTC
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base


def seconds_after(failures: int, wait: wait_base) -> float:
    """Return the seconds to wait after that many failures in a row, by one of tenacity's wait strategies."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    return wait(state)


def seconds_asked(header: str | None, now: float) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): a date, or seconds, which some providers give with a fraction.

    Args:
        header: its value; None where there is none.
        now: Unix seconds, from which a date is counted.

    Returns:
        Seconds, at least 0; None when absent or unreadable.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)  # without a zone in the oldest form, which is in GMT as well
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
