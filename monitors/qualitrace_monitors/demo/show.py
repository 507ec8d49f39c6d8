"""What the person in front of the terminal sees: a live panel there, plain lines elsewhere."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from qualitrace_monitors.demo.story import Observation

PLAIN_LINE_SECONDS = 3.0


class Show:
    """Prints what happens, with the seconds since the start; `clock` is monotonic."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._started = clock()
        self._next_line = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays."""
        line = Text(f"{self.elapsed:5.1f} s  ").append(text, style)
        self._console.print(line, soft_wrap=True)

    def update(self, phase: str, now: Observation) -> None:
        """Show the newest numbers."""
        if self._live:
            self._live.update(_panel(phase, now), refresh=True)
        elif self.elapsed >= self._next_line:
            self._next_line = self.elapsed + PLAIN_LINE_SECONDS
            self.say(", ".join(f"{name} {value}" for name, value in _facts(phase, now)))


def _facts(phase: str, now: Observation) -> list[tuple[str, str]]:
    return [
        ("phase", phase),
        ("answers", str(now.answered)),
        ("groundedness", str(now.quality or "not known yet")),
        ("alert", now.alert),
        ("freshness", str(now.freshness or "not known yet")),
    ]


def _panel(phase: str, now: Observation) -> Panel:
    table = Table.grid(padding=(0, 2))
    for name, value in _facts(phase, now):
        table.add_row(Text(name, "dim"), Text(value, "bold red" if value in ("broken", "firing") else "bold"))
    return Panel(table, title="qualitrace demo", title_align="left", expand=False)
