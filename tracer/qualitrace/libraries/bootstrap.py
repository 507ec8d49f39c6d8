"""The command `qualitrace bootstrap`: finds installed libraries, and brings the instrumentors that they need."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qualitrace.libraries.library import Library, remedy
from qualitrace.libraries.table import libraries


def is_missing(library: Library) -> bool:
    """Whether the library is installed and its instrumentor is not, or not in a fitting version."""
    return library.installed() is not None and bool(library.package) and not _is_installed(Requirement(library.package))


def _is_installed(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


@click.command()
@click.option("--install", is_flag=True, help="Install what is missing into this environment.")
@click.option("--requirements", is_flag=True, help="Print what is missing as requirements, nothing else.")
def bootstrap(install: bool, requirements: bool) -> None:
    """List the installed libraries that qualitrace can trace, and which instrumentors are missing.

    Exit code 1 means that one is missing.
    """
    # What is a part of Python is not a library that somebody installed.
    rows = {name: library for name, library in libraries().items() if library.distributions}
    installed = {name: library for name, library in rows.items() if library.installed()}
    missing = {name: row.package for name, row in installed.items() if row.by_default and is_missing(row)}
    if requirements:
        click.echo("\n".join(dict.fromkeys(missing.values())))
        return
    for name, library in installed.items():
        _, version = library.installed() or ("", "")
        state = "not traced" if name in missing else "traced" if library.by_default else "traced if a setting names it"
        click.echo(f"{name:20} {version:12} {state}")
    if not installed:
        click.echo("no library that qualitrace can trace is installed here")
    if not missing:
        return
    if not install:
        click.echo(f"\n{len(missing)} instrumentors are missing: qualitrace bootstrap --install, or {remedy(missing)}")
        raise SystemExit(1)
    command = [*_installer(), *dict.fromkeys(missing.values()), *_opentelemetry()]
    raise SystemExit(subprocess.run(command, check=False).returncode)  # noqa: S603


def _opentelemetry() -> list[str]:
    """Return the names of OpenTelemetry's distributions that are installed.

    Each release of an instrumentor requires one release of the API. An installer ignores what it is not asked for, and
    would leave the SDK at another.
    """
    names = {canonicalize_name(distribution.name) for distribution in importlib.metadata.distributions()}
    return sorted(name for name in names if name.startswith("opentelemetry-"))


def _installer() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise click.ClickException(f"{Path(sys.executable)} has neither pip nor uv; install the output of --requirements")
