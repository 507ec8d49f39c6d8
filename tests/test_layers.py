"""Imports go one way: monitors → collector → tracer, so that each can be installed and read without the next."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = {
    "qualitrace": ROOT / "tracer",
    "qualitrace_collector": ROOT / "collector",
    "qualitrace_monitors": ROOT / "monitors",
}
FORBIDDEN = {
    "qualitrace": {"qualitrace_collector", "qualitrace_monitors"},
    "qualitrace_collector": {"qualitrace_monitors"},
}


def imported_packages(source: str) -> Iterator[str]:
    """Yield the top-level package of every import in `source`, those inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_no_module_imports_a_layer_above_its_own(layer: str):
    """Also not lazily inside a function; the command line names the server's commands as text only."""
    modules = list(LAYERS[layer].rglob("*.py"))
    assert modules
    found = {
        str(path.relative_to(ROOT)): above
        for path in modules
        if (above := FORBIDDEN[layer].intersection(imported_packages(path.read_text())))
    }
    assert found == {}


def test_imports_are_found_wherever_they_stand():
    """At the top, in a function, by `from`, and below another name."""
    source = "import a.b\ndef f():\n    from c.d import e\n    import g as h\nfrom . import i\n"
    assert list(imported_packages(source)) == ["a", "c", "g"]
