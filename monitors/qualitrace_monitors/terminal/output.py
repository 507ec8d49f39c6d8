"""How lines look on a terminal, and where they are piped: texts of others without control characters."""

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

STYLES = {
    **dict.fromkeys(("pass", "ok", "sent"), "green"),
    **dict.fromkeys(("unsure", "pending", "warning"), "yellow"),
    **dict.fromkeys(("fail", "firing", "critical", "problems", "failed", "given_up"), "bold red"),
}
"""The colours of words that say how good something is."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as of any program that SIGINT ends."""


def printable(text: str) -> str:
    """Return a text from outside in one line, without what would move the cursor or turn the writing around."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, with its cells one below another; long ones do not wrap."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


class Lines:
    """Writes lines of columns to standard output.

    On a terminal they are coloured and cut to its width; elsewhere they are whole and plain.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False) if sys.stdout.isatty() else None

    def write(self, cells: Sequence[str], widths: Sequence[int]) -> None:
        """Write one line; the last cell has no width."""
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        padded += cells[len(widths) :]
        if self._console is None:
            click.echo("  ".join(padded).rstrip())
            return
        line = Text("  ").join(Text(cell, STYLES.get(cell.strip(), "")) for cell in padded)
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
