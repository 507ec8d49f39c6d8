"""The table of libraries agrees with the package's extras, and other distributions can add to it."""

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import qualitrace
from qualitrace.libraries.table import libraries

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_each_package_has_an_extra() -> None:
    """`pip install 'qualitrace[NAME]'`, which the log names, brings the instrumentor that the table names."""
    extras: dict[str, list[str]] = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    for name, library in libraries().items():
        if library.package:
            assert library.package in extras.get(name, []), name


def test_rows_are_well_formed() -> None:
    """Versions and packages parse, and a name can be an extra's."""
    for name, library in libraries().items():
        assert SpecifierSet(library.versions)
        assert not library.package or Requirement(library.package).specifier
        assert name == library.name == name.lower().replace("_", "-")


def test_names_are_unique() -> None:
    """No two rows trace the same import."""
    modules = [library.module for library in libraries().values()]
    assert len(set(modules)) == len(modules)


def add_distribution(folder: Path, name: str, version: str, entry_points: str = "") -> None:
    """Make an installed distribution in `folder`, with a module of its name."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    (folder / f"{name}.py").write_text("")


ACME = """
from qualitrace.libraries.library import Library

def instrument():
    print("instrumented")

LIBRARY = Library(
    name="acme", module="acme", distributions=("acme",), versions=">=1,<2", instrumentor="acme_tracing:instrument", why="."
)
BROKEN = object()
"""


def test_entry_point_adds_a_library(programs: Any) -> None:
    """A distribution adds a row by an entry point; one that is not a row is named, and the rest goes on."""
    add_distribution(programs.directory, "acme", "1.0")
    add_distribution(
        programs.directory,
        "acme_tracing",
        "1.0",
        "[qualitrace_libraries]\nacme = acme_tracing:LIBRARY\nother = acme_tracing:BROKEN\n",
    )
    programs.write(ACME, "acme_tracing.py")
    done = programs.run("import qualitrace\nqualitrace.init()\nprint('before')\nimport acme")
    assert done.output.split() == ["before", "instrumented"]
    (warning,) = done.errors.splitlines()
    assert "other = acme_tracing:BROKEN is ignored" in warning


def test_public_names() -> None:
    """`qualitrace.instrument` is part of the interface."""
    assert "instrument" in qualitrace.__all__
