"""The fenced blocks of the documentation, and a reader who follows them in a folder, with ports of this machine.

The title of a block says how it is meant, to readers of the site as well as here:

- `in a terminal of its own…`: it runs until the reader stops it
- `not run by the tests: …`: only its syntax is checked, for the reason that is given
- `an example`: what a command printed, where that depends on what is stored
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from markdown_it import MarkdownIt

from qualitrace_monitors.config import Config
from support.ports import free_port
from support.serving import environment

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
_PORTS = ("4317", "4318", "5000", "8000", "9000", "9001", "9093", "9464")
_FILE = re.compile(r"(?:#|//) (\S+\.\w+)\n")


class Snippet(NamedTuple):
    """A fenced block."""

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def file(self) -> str:
        """Return the name that its first line gives it, or nothing."""
        named = _FILE.match(self.text)
        return named[1] if named else ""

    @property
    def is_only_shown(self) -> bool:
        """Whether its syntax is all that can be checked."""
        return self.title.startswith(("not run", "a part of"))

    @property
    def is_configuration(self) -> bool:
        """Whether it is YAML for `--config`."""
        loaded = yaml.safe_load(self.text) if self.language == "yaml" else None
        return isinstance(loaded, dict) and loaded.keys() <= Config.model_fields.keys()


def snippets() -> list[Snippet]:
    """Return every block of every page, in order."""
    return [snippet for page in PAGES for snippet in _of(page)]


def _of(page: Path) -> Iterator[Snippet]:
    for token in MarkdownIt().parse(page.read_text()):
        is_block = token.type == "fence" or (token.type == "code_block" and page.is_relative_to(ROOT / "docs"))
        if is_block and token.map:  # an indented one has no language, which the tests refuse
            language, _, rest = token.info.partition(" ")
            title = re.search(r'title="([^"]*)"', rest)
            yield Snippet(
                str(page.relative_to(ROOT)), token.map[0] + 1, language, title[1] if title else "", token.content
            )


class Reader:
    """Has saved the files that the pages show, and runs their commands in one shell, whose variables last."""

    def __init__(self, folder: Path, shown: Sequence[Snippet]) -> None:
        self.folder = folder
        self.trace_id = ""
        self.ports = {port: str(free_port()) for port in _PORTS}
        self._groups: list[int] = []
        self._variables = folder / ".variables"
        self._environment = environment(QUALITRACE_ENDPOINT=f"http://127.0.0.1:{self.ports['4318']}")
        self._environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment["PYTEST_ADDOPTS"] = (
            "-p qualitrace.pytest_plugin"  # for one set up before there was an entry point
        )
        self._environment.pop("MLFLOW_TRACKING_URI", None)  # MLflow leaves it behind in the tests' process
        (folder / ".venv-app" / "bin").mkdir(parents=True)
        (folder / ".venv-app" / "bin" / "activate").touch()  # the tests' environment has everything
        for snippet in shown:
            if snippet.file:
                self._save(snippet)

    def _save(self, snippet: Snippet) -> None:
        text = self.here(snippet.text)
        if snippet.is_configuration and "listen" not in yaml.safe_load(snippet.text):
            doors = {"otlp_http": "4318", "otlp_grpc": "4317", "web": "9464"}
            text += yaml.safe_dump({"listen": {name: f"127.0.0.1:{self.ports[port]}" for name, port in doors.items()}})
        (self.folder / snippet.file).write_text(text)

    def here(self, text: str) -> str:
        """Put this machine's ports, and the id of a trace that is stored, in place of the page's."""
        text = re.sub(r"\b([4589]\d{3})\b", lambda port: self.ports.get(port[1], port[1]), text)
        return re.sub(r"\b[0-9a-f]{32}\b", self.trace_id, text) if self.trace_id else text

    def run(self, script: str, *, timeout: float = 60) -> tuple[int, str]:
        """Run a script to its end; return the exit code, and what it printed. What it left running runs on."""
        self.start(
            f"[ ! -e {self._variables} ] || . {self._variables}\nset -e\n{script}\nexport -p > {self._variables}"
        )
        code = self._last.wait(timeout)
        return code, self.printed().replace(self.ports["9464"], "9464")

    def start(self, script: str) -> None:
        """Start a script, whose output goes to a file of its own."""
        self._output = self.folder / f".output-{len(self._groups)}"
        with self._output.open("wb") as output:
            self._last = subprocess.Popen(
                ["bash", "-c", self.here(script)],
                cwd=self.folder, env=self._environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._groups.append(self._last.pid)

    def start_aside(self, script: str) -> Path:
        """Start a script in a terminal of its own, with the variables of now; return the file of its output."""
        self.start(f"[ ! -e {self._variables} ] || . {self._variables}\n{script}")
        return self._output

    def printed(self) -> str:
        """Return what the last script printed."""
        return self._output.read_text(errors="replace")

    def all_printed(self) -> str:
        """Return what all scripts printed so far, those that still run too."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob(".output-*"))

    def close(self) -> None:
        """Stop what was started, with what that started."""
        for group in reversed(self._groups):
            try:
                os.killpg(group, signal.SIGTERM)
            except ProcessLookupError:
                continue
        self._last.wait(20)
