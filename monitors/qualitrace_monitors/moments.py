"""How moments are written: in UTC, from Unix seconds."""

from datetime import UTC, datetime


def instant(at: float) -> str:
    """Write a moment as RFC 3339 to the second, as machines and addresses have it: `2026-11-28T03:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def second(at: float) -> str:
    """Write a moment to the second, for people: `2026-11-28 03:00:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def minute(at: float) -> str:
    """Write a moment to the minute, for people: `2026-11-28 03:00 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
