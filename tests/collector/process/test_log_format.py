"""The log as lines of JSON, from the level on that was asked for."""

import json
import subprocess
import sys
from datetime import datetime

import pytest

from qualitrace_collector.process.log_limit import CHARACTERS
from support.serving import environment

PROGRAM = """
import logging, warnings
from qualitrace_collector.process.startup import configure_logging
configure_logging()
logging.getLogger("qualitrace_monitors.alerts").debug("ours")
logging.getLogger("some.library").debug("what a user wrote")
logging.getLogger("some.library").info("an info")
logging.getLogger("httpx").warning("a warning\\nof %s", "two lines")
warnings.warn("old")
try:
    raise ValueError("postgresql://user:hidden-1@db/ and " + "x" * 100_000)
except ValueError:
    logging.getLogger("some.library").exception("failed at https://user:hidden-2@host/")
raise SystemError("the end")
"""


MLFLOW = """
import logging
from qualitrace_collector.process.startup import configure_logging
configure_logging()
import mlflow
logging.getLogger("mlflow.tracking").warning("theirs")
"""


def lines(program: str = PROGRAM, **variables: str) -> list[str]:
    """Run the program; return what it logs."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment(**variables))
    return done.stderr.splitlines()


def test_each_line_is_an_object() -> None:
    """Also a message of several lines, a warning of Python's, and what ends the process; masked and bounded."""
    records = [json.loads(line) for line in lines(QUALITRACE_LOG_FORMAT="json")]
    assert [(each["level"], each["logger"]) for each in records] == [
        ("INFO", "some.library"),
        ("WARNING", "httpx"),
        ("WARNING", "py.warnings"),
        ("ERROR", "some.library"),
        ("CRITICAL", "qualitrace_collector.process.startup"),
    ]
    assert datetime.fromisoformat(records[0]["time"]).tzinfo is not None
    assert records[1]["message"] == "a warning\nof two lines"
    assert [each.get("exception", "").startswith("Traceback") for each in records] == [False, False, False, True, True]
    assert "hidden" not in json.dumps(records)
    assert len(records[3]["exception"]) < 2 * CHARACTERS
    assert records[4]["exception"].endswith("SystemError: the end")


@pytest.mark.slow
def test_what_mlflow_logs_is_no_exception() -> None:
    """It would write lines of its own form, past the bounds of the log."""
    (line,) = lines(MLFLOW, QUALITRACE_LOG_FORMAT="json")
    assert json.loads(line)["message"] == "theirs"


@pytest.mark.parametrize(
    ("level", "first"), [("debug", "ours"), ("INFO", "an info"), ("warning", "a warning"), ("error", "failed")]
)
def test_the_level_is_the_least_that_is_logged(level: str, first: str) -> None:
    """Of `debug` only qualitrace's own messages: libraries would log what users wrote."""
    written = lines(QUALITRACE_LOG_LEVEL=level)
    assert first in written[0]
    assert "what a user wrote" not in "".join(written)
