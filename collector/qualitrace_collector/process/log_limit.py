"""Bounds the log, since clients that can cause a message can cause it millions of times.

Of each kind of message, the first few in a minute are written. When the minute ends, one line says how many were not.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 60.0
MESSAGES = 10
"""Messages of a kind that are written in that many seconds."""
KINDS = 32
"""Kinds of one logger that are limited separately; a library may write values into what should be the template."""
CHARACTERS = 16_384
"""How long a message may be with its traceback."""


@dataclass(slots=True)
class _Window:
    ends: float
    count: int = 0
    example: str = ""


class LogLimit(logging.Filter):
    """A filter for handlers. A kind is a logger, a level, a template's first line and the type of an exception.

    Args:
        clock: in seconds.
        seconds: how long the messages of a kind are counted.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, seconds: float = SECONDS) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._windows: dict[str, dict[str, _Window]] = {}  # by logger and kind

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if hasattr(record, "left_out"):
            return True
        with self._lock:
            window = self._window(record)
            window.count += 1
            if window.count <= MESSAGES:
                return True
            if window.count == MESSAGES + 1:  # once: to write the text takes longer than all of the above
                window.example = record.getMessage().partition("\n")[0]
                self._report_later(record.name, record.levelno, window)
            return False

    def _window(self, record: logging.LogRecord) -> _Window:
        now = self._clock()
        windows = self._windows.setdefault(record.name, {})
        kind = _kind(record)
        if kind not in windows and len(windows) >= KINDS:
            windows = self._windows[record.name] = {
                known: windows[known] for known in windows if windows[known].ends > now
            }
            if len(windows) >= KINDS:
                kind = "any other"
        if kind not in windows or windows[kind].ends <= now:
            windows[kind] = _Window(now + self._seconds)
        return windows[kind]

    def _report_later(self, logger: str, level: int, window: _Window) -> None:
        def report() -> None:
            left_out = window.count - MESSAGES
            text = "%d more messages like this were left out in %g s, for example: %s"
            logging.getLogger(logger).log(
                level, text, left_out, self._seconds, window.example, extra={"left_out": left_out}
            )

        timer = threading.Timer(max(0.0, window.ends - self._clock()), report)
        timer.daemon = True
        timer.start()


def shortened(text: str) -> str:
    """Leave out the middle of what is too long: a traceback begins with its place and ends with its reason."""
    if len(text) <= CHARACTERS:
        return text
    half = CHARACTERS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"


class ShortFormatter(logging.Formatter):
    """Writes no record longer than `CHARACTERS`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return shortened(super().format(record))


def _kind(record: logging.LogRecord) -> str:
    error = record.exc_info[0] if record.exc_info else None
    template = str(record.msg).partition("\n")[0][:CHARACTERS]  # asyncio appends what differs from case to case
    return f"{record.levelno} {error and error.__qualname__} {template}"
