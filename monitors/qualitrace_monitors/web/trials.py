"""Backtests that readers of the pages ask for: one at a time, and the last one's report is kept."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qualitrace_monitors.alerts.settings import AlertRule
from qualitrace_monitors.backtest.job import BacktestFailed, report_by_process

DAYS = 7
"""How far back: the command goes back further."""
SECONDS = 120.0
"""How long one may take."""
MOST_LINES = 100


class TrialRefused(Exception):
    """The backtest was not started; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A backtest.

    Attributes:
        started_at: Unix seconds.
        text: its report, or why there is none; None while it runs.
    """

    rule: str
    started_at: float
    text: str | None = None


class Trials:
    """Starts backtests of the rules over a state database; thread-safe."""

    def __init__(self, file: Path, rules: Sequence[AlertRule]) -> None:
        self._file, self._rules = file, rules
        self._lock = threading.Lock()
        self._last: Trial | None = None

    @property
    def last(self) -> Trial | None:
        """The backtest that was asked for last."""
        return self._last

    def start(self, name: str, now: float) -> None:
        """Start a backtest of the rule of that name at `now` (Unix seconds).

        Raises:
            TrialRefused: there is no such rule, or one is under way.
        """
        rule = next((rule for rule in self._rules if rule.name == name), None)
        if rule is None:
            raise TrialRefused(f"there is no rule named {name[:300]!r} under alerts")
        with self._lock:
            if self._last is not None and self._last.text is None:
                raise TrialRefused(f"the backtest of {self._last.rule} runs still: wait for it")
            self._last = Trial(rule=name, started_at=now)
        threading.Thread(target=self._run, args=(rule,), name="backtest", daemon=True).start()

    def _run(self, rule: AlertRule) -> None:
        text = "it ended unexpectedly: see the log"
        try:
            found = report_by_process(self._file, self._rules, rule, DAYS * 86_400.0, SECONDS)
            text = "\n".join([*found[:MOST_LINES], *(["…"] if len(found) > MOST_LINES else [])])
        except BacktestFailed as failure:
            text = str(failure)
        finally:
            if self._last is not None:
                self._last = replace(self._last, text=text)
