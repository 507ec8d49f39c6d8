"""A backtest in a process of its own, so that a server which starts one goes on at its pace and can end it.

It reads an order from standard input, pickled by the process that started it, and prints the report.
"""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qualitrace_collector.state import StateError
from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.report import lines
from qualitrace_monitors.backtest.run import backtested

COMMAND = (sys.executable, "-P", "-m", "qualitrace_monitors.backtest.job")
NICE = 15
"""The niceness of the process: traces and judges come first."""


class BacktestFailed(Exception):
    """There is no report; the text says why."""


def report_by_process(
    file: Path, all_rules: Sequence[AlertRule], rule: AlertRule, since: float, seconds: float
) -> Sequence[str]:
    """Return the lines of a backtest of one rule, see `backtested`.

    Args:
        seconds: how long it may take.

    Raises:
        BacktestFailed: it took longer, or failed.
    """
    order = pickle.dumps((file, [*all_rules], rule, since, seconds))
    try:
        done = subprocess.run(COMMAND, input=order, capture_output=True, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise BacktestFailed(f"it took longer than {seconds:g} s: try qualitrace alerts backtest") from None
    except OSError as error:
        raise BacktestFailed(f"cannot start a process: {error}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").splitlines() or [""]
        raise BacktestFailed(f"it ended with code {done.returncode}: {said[-1][:300]}")
    return done.stdout.decode("utf-8", "replace").splitlines()


def main() -> None:
    """Replay what the order says, and print the report."""
    file, all_rules, rule, since, seconds = pickle.load(sys.stdin.buffer)  # noqa: S301  # of our own parent
    signal.alarm(int(seconds) + 1)  # whoever waits for this process may have ended
    os.nice(NICE)
    try:
        found = backtested(file, all_rules, [rule], time.time() - since)
    except StateError as error:
        sys.exit(str(error))
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
