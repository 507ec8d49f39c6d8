"""How a window of time is split into whole minutes, whose sums are kept, and what is before and after them."""

import math

MINUTE = 60.0


def minute_of(moment: float) -> int:
    """Return the number of the minute that a moment (Unix seconds) is in."""
    return math.floor(moment / MINUTE)


def split(start: float, now: float) -> dict[str, float]:
    """Split (start, now], in Unix seconds.

    Returns:
        start and now; `first` and `end`, the whole minutes from the one to before the other; `head`, until when single
        scores are read before them, and `tail`, from when they are read after them.
    """
    first, end = minute_of(start) + 1, minute_of(now)
    return {
        "start": start,
        "now": now,
        "first": first,
        "end": end,
        "head": first * MINUTE,
        "tail": max(first, end) * MINUTE,
    }
