"""Retry-After, the HTTP header by which a server states when to ask again."""

import math
from email.utils import parsedate_to_datetime


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
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
