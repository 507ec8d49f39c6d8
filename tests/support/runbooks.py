"""The commands of a runbook, as they stand on its page, and an operator who runs them."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from markdown_it import MarkdownIt

from support.serving import environment
from support.snippets import ROOT

FOLDER = ROOT / "docs" / "runbooks"
PAGES = {path.stem for path in FOLDER.glob("*.md")} - {"README"}


def commands(page: str, section: str) -> list[str]:
    """Return the blocks of commands below a heading, without those that no test can run."""
    found: list[str] = []
    heading, is_heading = "", False
    for token in MarkdownIt().parse((FOLDER / f"{page}.md").read_text()):
        if token.type == "inline" and is_heading:
            heading = token.content
        elif token.type == "fence" and heading == section and "not run by the tests" not in token.info:
            found.append(token.content)
        is_heading = token.type == "heading_open"
    return found


class Operator:
    """Runs commands in a server's folder.

    Args:
        places: what stands on pages, and what it is here.
    """

    def __init__(self, folder: Path, places: Mapping[str, str]) -> None:
        self._folder = folder
        self._places = places
        self._environment = environment()
        self.path = self._environment["PATH"] = f"{Path(sys.executable).parent}:{self._environment['PATH']}"

    def here(self, text: str) -> str:
        """Put the addresses and folders of here in place of the page's."""
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def run(self, script: str) -> str:
        """Run a block; return what it printed. A command that fails may say what is wrong, too."""
        done = subprocess.run(
            ["bash", "-c", self.here(script)],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        return done.stdout + done.stderr
