"""How far something is that takes long, on stderr."""

import time

import click

QUIET_SECONDS, SAY_SECONDS = 2.0, 5.0
"""How long nothing is said, and how often something is then."""


class Progress:
    """Says how much is done, from time to time.

    Args:
        what: the rest of the sentence after the number.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + QUIET_SECONDS

    def __call__(self, done: int) -> None:
        """Take note of how much is done."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SAY_SECONDS
            click.echo(f"{done:,} {self._what}", err=True)
