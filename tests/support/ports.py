"""Free loopback ports that neither another test run nor a worker of this one picks at the same time."""

import fcntl
import functools
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Below the ports that the system gives to clients, so that no client takes one before the server listens.
FIRST, LAST, SLICE = 20_000, 32_000, 500


def free_port() -> int:
    """Return a port that nothing listens on now, another one at each call."""
    for port in _ports_of_this_process():
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("unreachable: the ports repeat")


@functools.cache
def _ports_of_this_process() -> Iterator[int]:
    """Claim a slice of the ports; the system drops the lock when this process ends."""
    folder = Path(tempfile.gettempdir()) / f"qualitrace-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for first in range(FIRST, LAST, SLICE):
        descriptor = os.open(folder / str(first), os.O_CREAT | os.O_RDWR, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return itertools.cycle(range(first, first + SLICE))
        os.close(descriptor)
    raise AssertionError(f"{(LAST - FIRST) // SLICE} test processes run already: no ports are left for this one")
