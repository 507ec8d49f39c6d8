"""How far a command is that takes long: a line on the terminal, which vanishes when it is done."""

import sys
import threading
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

QUIET_SECONDS = 2.0
"""How long nothing is shown: what is done by then needs no progress."""

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")


class Progress:
    """Shows on standard error how much is done, if that is a terminal; a context manager.

    Call it to take note of how much is done. Without any call it shows that work goes on.

    Args:
        what: what is being done, such as `judging`.
        total: how much there is to do; None if nobody knows.
        quiet: show nothing.
    """

    def __init__(self, what: str, total: int | None = None, *, quiet: bool = False) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *([BarColumn(), MofNCompleteColumn()] if total is not None else [TextColumn("{task.completed:,.0f}")]),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._bars.add_task(what, total=total)
        self._timer = threading.Timer(QUIET_SECONDS, self._bars.start)
        self._timer.daemon = True
        self._shown = not quiet and sys.stderr.isatty() and not self._bars.console.is_dumb_terminal

    def __call__(self, done: int, total: int | None = None) -> None:
        """Take note of how much is done, and of how much there is to do if that is known by now."""
        self._bars.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        if self._shown:
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._shown:
            self._timer.join()  # or it might start after the end
            self._bars.stop()
