"""Imports go one way: monitors → collector → tracer, so that each can be installed and read without the next."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
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


def imported_rooms(source: str, package: str) -> set[str]:
    """Return the folders and modules at the root of `package` that `source` imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.update({f"{node.module}.{alias.name}" for alias in node.names})
    return {module.split(".")[1] for module in modules if module.startswith(f"{package}.")}


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


@pytest.mark.parametrize("package", LAYERS)
def test_the_rooms_of_a_package_import_each_other_in_one_direction(package: str):
    """Folders and modules at a package's root form no circle; a circle's names are in the error."""
    root = LAYERS[package] / package
    uses: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        room = path.relative_to(root).with_suffix("").parts[0]
        uses.setdefault(room, set()).update(imported_rooms(path.read_text(), package) - {room})
    uses.pop("__init__")  # what the package offers, drawn from any room
    tuple(TopologicalSorter(uses).static_order())
