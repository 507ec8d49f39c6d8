"""Is a block of the documentation what its language allows? By that language's own parser."""

import ast
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml

from qualitrace_collector.config import load_config
from qualitrace_monitors.config import Config
from support.node import NODE
from support.snippets import Snippet
from support.web import program


def _bash(snippet: Snippet, folder: Path) -> None:
    _succeeds("bash", "-n", str(_saved(snippet, folder, "sh")))


def _console(snippet: Snippet, folder: Path) -> None:
    assert snippet.text.startswith("$ "), "a console shows a command, and below it what it prints"


def _javascript(snippet: Snippet, folder: Path) -> None:
    _succeeds(str(NODE), "--check", str(_saved(snippet, folder, "mjs")))


def _yaml(snippet: Snippet, folder: Path) -> None:
    loaded = yaml.safe_load(snippet.text)
    if snippet.is_configuration and not snippet.is_only_shown:
        load_config(_saved(snippet, folder, "yaml"), Config)
    elif isinstance(loaded, list) and "alert" in loaded[0]:
        _rules(loaded, folder)


def _rules(rules: Sequence[object], folder: Path) -> None:
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "shown", "rules": rules}]}))
    _succeeds(program("promtool", "prometheus"), "check", "rules", str(folder / "rules.yml"))


def _saved(snippet: Snippet, folder: Path, suffix: str) -> Path:
    path = folder / f"snippet.{suffix}"
    path.write_text(snippet.text)
    return path


def _succeeds(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


CHECKS = {
    "console": _console,
    "js": _javascript,
    "json": lambda snippet, _: json.loads(snippet.text),
    "promql": lambda snippet, folder: _rules([{"record": "shown", "expr": snippet.text}], folder),
    "python": lambda snippet, _: ast.parse(snippet.text),
    "sh": _bash,
    "text": lambda snippet, _: None,
    "yaml": _yaml,
}
"""What checks a block and a scratch folder, by the block's language. It raises where something is wrong."""
