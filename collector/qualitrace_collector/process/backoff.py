"""How long to wait after failures in a row, for loops and durable queues that keep the schedule themselves.

A call that may block its caller until it succeeds is better repeated by `tenacity.Retrying`.
"""

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base


def seconds_after(failures: int, wait: wait_base) -> float:
    """Return the seconds that a wait strategy of tenacity gives after `failures` failures in a row, at least 1."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    return wait(state)
