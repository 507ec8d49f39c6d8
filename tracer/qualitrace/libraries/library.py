"""One row of the table of libraries."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


def _nothing() -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Library:
    """How a library is traced.

    Attributes:
        name: what settings call it; also the name of the extra that brings its instrumentor, if `package` names one.
        module: the import whose end starts the instrumentor.
        distributions: what the library is called on PyPI; the first one that is installed counts. Empty for a part of
            Python itself.
        versions: the versions of the library that were tested, as in a requirement. Others are traced, too, and the
            log says so.
        instrumentor: `module:attribute` of a class with a method `instrument`, as OpenTelemetry's `BaseInstrumentor`
            has, or of a function without arguments; empty if the library makes its spans itself.
        package: requirement of the distribution that holds the instrumentor; empty if qualitrace itself brings it.
        why: the reason for this instrumentor rather than another one.
        options: keywords for the method `instrument`.
        environ: variables that the library or its instrumentor reads, set unless they are set already.
        with_content: such variables that record content, set only if content is wanted.
        without_content: such variables that leave content out, set in any case if it is not wanted.
        first_use: called after the import with the function that starts the instrumentor, for a library that most apps
            use for something else; None starts it at once.
        begin: called with the instrumentor's class in place of its method `instrument`.
        then: called afterwards.
        also_off: libraries that must be left out, too, if another instrumentor takes this library.
        shared: True if the distributions hold more than this row traces, so that other instrumentors of them may start.
        by_default: False for a library that is traced only when a setting names it.
    """

    name: str
    module: str
    distributions: tuple[str, ...]
    versions: str
    instrumentor: str = ""
    package: str = ""
    why: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    environ: dict[str, str] = field(default_factory=dict[str, str])
    with_content: dict[str, str] = field(default_factory=dict[str, str])
    without_content: dict[str, str] = field(default_factory=dict[str, str])
    first_use: Callable[[Callable[[], None]], None] | None = None
    begin: Callable[[Any], None] | None = None
    then: Callable[[], None] = _nothing
    also_off: tuple[str, ...] = ()
    shared: bool = False
    by_default: bool = True

    def installed(self) -> tuple[str, str] | None:
        """Return the installed distribution and its version; None if there is none."""
        if not self.distributions:
            return "python", platform.python_version()
        for name in self.distributions:
            try:
                return name, importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
        return None


def remedy(names: Iterable[str]) -> str:
    """Return the command that brings the instrumentors of these libraries."""
    return f"pip install 'qualitrace[{','.join(sorted(names))}]'"
