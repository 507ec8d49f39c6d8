"""File descriptors: as many as the system allows, and a part of them for each port's connections."""

import resource
from contextlib import suppress

OTHER_DESCRIPTORS = 128
"""Files, listeners and pipes, and connections on their way in or out, beside those that a port counts."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit as far as the process may: the usual one, 1024, is there for programs that call select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports no limit and then refuses that
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_within(wanted: int, parts: int, of: int) -> int:
    """Return how many connections a port may have: `wanted`, but no more than `parts` of `of` of the descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(1, (soft - OTHER_DESCRIPTORS) * parts // of))
