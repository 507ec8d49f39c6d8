"""Waiting for something real to happen, with a deadline."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

T = TypeVar("T")


def eventually(check: Callable[[], T], timeout: float = 30.0, interval: float = 0.1) -> T:
    """Return the first true value of `check`; fail with its last value or error at the deadline."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while True:
        error: Exception | None = None
        value = None
        try:
            value = check()
        except (AssertionError, OSError, LookupError, ValueError, httpx.TransportError) as caught:
            error = caught
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {timeout:g} s (last value: {value!r})") from error
        pause.wait(interval)
