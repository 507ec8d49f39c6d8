"""A flood of messages leaves a few lines, and a line that counts the rest; what is rare is written as ever."""

import io
import logging
import re
import threading
from collections.abc import Generator

import pytest

from qualitrace_collector.process.log_limit import CHARACTERS, KINDS, MESSAGES, LogLimit, ShortFormatter
from support.waiting import eventually

SHORT = 0.2
"""Seconds: a window that ends within a test."""


class Log:
    """A logger with the limit, and what it wrote. Its clock stands at `now`."""

    def __init__(self, name: str, seconds: float) -> None:
        self.now = 0.0
        self.text = io.StringIO()
        handler = logging.StreamHandler(self.text)
        handler.setFormatter(ShortFormatter("%(levelname)s %(message)s"))
        handler.addFilter(LogLimit(lambda: self.now, seconds))
        self.logger = logging.getLogger(name)
        self.logger.handlers, self.logger.propagate = [handler], False

    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Generator[Log]:
    """Provide a logger of the test's own, whose windows last an hour."""
    made = Log(request.node.name, 3600.0)
    yield made
    made.logger.handlers = []


def test_of_a_flood_a_few_are_written_and_the_rest_is_counted(request: pytest.FixtureRequest) -> None:
    """When the window ends, without another message, one line has the level, the number and one of them."""
    log = Log(request.node.name, SHORT)
    for number in range(1000):
        log.logger.error("client %d is odd", number)
    assert log.lines() == [f"ERROR client {number} is odd" for number in range(MESSAGES)]
    (last,) = eventually(lambda: log.lines()[MESSAGES:])
    expected = (
        rf"ERROR {1000 - MESSAGES} more messages like this were left out in [\d.]+ s, for example: client 10 is odd"
    )
    assert re.fullmatch(expected, last)


def test_a_new_window_begins_anew(log: Log) -> None:
    """After the window the kind is written again."""
    for _ in range(50):
        log.logger.warning("odd")
    log.now = 3601.0
    log.logger.warning("odd")
    assert len(log.lines()) == MESSAGES + 1


def test_a_flood_hides_no_other_kind(log: Log) -> None:
    """Another template, level or type of exception is written beside it."""
    for _ in range(50):
        log.logger.warning("odd")
    log.logger.error("odd")
    log.logger.warning("strange")
    log.logger.warning("odd", exc_info=OSError("full"))
    assert log.lines()[MESSAGES:] == ["ERROR odd", "WARNING strange", "WARNING odd", "OSError: full"]


def test_what_differs_below_the_first_line_is_one_kind(log: Log) -> None:
    """As asyncio writes the socket below its message."""
    for number in range(50):
        log.logger.error(f"socket.accept() out of system resource\nsocket: fd={number}")
    assert len(log.lines()) == 2 * MESSAGES


def test_templates_with_values_in_them_are_bounded(log: Log) -> None:
    """A library that formats its messages itself writes no more than so many kinds, each so often; then new ones again."""
    for number in range(10_000):
        log.logger.warning(f"request {number} is odd")
    assert len(log.lines()) == KINDS + MESSAGES
    log.now = 3601.0
    log.logger.warning("something new")
    assert log.lines()[-1] == "WARNING something new"


def test_a_long_message_loses_its_middle(log: Log) -> None:
    """A traceback keeps its beginning and its end."""
    log.logger.error("begin %s end", "x" * (1 << 20))
    text = log.text.getvalue()
    assert len(text) < CHARACTERS + 100
    assert text.startswith("ERROR begin xxx")
    assert text.endswith("xxx end\n")


def test_threads_count_together(log: Log) -> None:
    """Eight threads that log the same write no more than one would."""

    def flood() -> None:
        for _ in range(500):
            log.logger.error("odd")

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.lines()) == MESSAGES
