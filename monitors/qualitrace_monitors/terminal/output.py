"""How lines look on a terminal, and where they are piped: texts of others without control characters."""

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

STYLES = {"pass": "green", "unsure": "yellow", "fail": "bold red"}
"""Of words that say how good something is."""


def printable(text: str) -> str:
    """Return a text from outside in one line, without what would move the cursor or turn the writing around."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


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
