"""Starts the instrumentor of each library when the app imports the library, never before.

Instrumentors take up to a second to import. What is not traced is said once, with the command that fixes it.
"""

import importlib
import os
from collections.abc import Iterable
from typing import Any

import wrapt

from qualitrace.content import captures_content
from qualitrace.libraries.collisions import active_instrumentor, path_of, refuse_rivals, starting
from qualitrace.libraries.library import Library, remedy
from qualitrace.libraries.table import libraries
from qualitrace.quiet import logger, never_raises
from qualitrace.untraced import note_untraced

_watched: set[str] = set()
# What makes OpenTelemetry's instrumentors cheaper, by module. As text: a hook is imported when its module is.
_QUICKER = {
    "opentelemetry.util.genai._invocation": "qualitrace.libraries.messages:quicken_messages",
    "opentelemetry.util.genai.stream": "qualitrace.libraries.streams:quicken_reads",
    "opentelemetry.instrumentation.genai.openai.chat_wrappers": "qualitrace.libraries.streams:quicken_chat",
}


def trace_libraries(names: Iterable[str]) -> None:
    """Trace the libraries `names`: now if they are imported, else when they are. Safe twice."""
    refuse_rivals()
    for module, hook in _QUICKER.items():
        if module not in _watched:
            _watched.add(module)
            wrapt.register_post_import_hook(hook, module)
    for name in names:
        library = libraries()[name]
        _set_variables(library)
        if name not in _watched:
            _watched.add(name)
            # This calls the hook at once if the library is imported already.
            wrapt.register_post_import_hook(lambda _, library=library: _imported(library), library.module)


def _set_variables(library: Library) -> None:
    wanted = captures_content()
    for variable, value in (library.environ | (library.with_content if wanted else {})).items():
        os.environ.setdefault(variable, value)
    if not wanted:
        os.environ.update(library.without_content)


@never_raises
def instrument(instrumentor: Any) -> None:
    """Start an instrumentor of the app's choice, for a library that qualitrace does not know or traces otherwise.

    Its spans go the way of all others. For a library that is traced already it is refused, and a warning names the
    setting that leaves the library to it. Never raises.

    >>> class Instrumentor:
    ...     def instrument(self) -> None:
    ...         print("started")
    >>> qualitrace.instrument(Instrumentor)
    started

    Args:
        instrumentor: a class or an object with a method `instrument`, such as OpenTelemetry's `BaseInstrumentor`.
    """
    found = instrumentor() if isinstance(instrumentor, type) else instrumentor
    if not callable(getattr(found, "instrument", None)):
        raise TypeError(f"instrument() takes an object with a method instrument, not {instrumentor!r}")
    refuse_rivals()
    found.instrument()


@never_raises
def _imported(library: Library) -> None:
    if library.first_use:
        library.first_use(lambda: _start(library))
    else:
        _start(library)


def _start(library: Library) -> None:
    if library.installed() is None:
        return  # a module of the app's own with the same name (`agents`)
    try:
        target = _load(library)
        active = active_instrumentor(library)
        if active not in (None, target):
            logger.warning("%s is left to %s, which traces it already", library.name, path_of(active))
            return
        _say_if_untested(library)
        with starting(library):
            if active is None:
                _call(target, library)
            library.then()
    except _Missing:
        note_untraced(library.name)
        logger.warning("%s is not traced: %s", library.name, remedy([library.name]))
    except Exception as error:  # this runs inside the app's import, which must not fail
        logger.warning("%s is not traced: %s: %s", library.name, type(error).__name__, error)


class _Missing(Exception):
    """The distribution of an instrumentor is not installed."""


def _load(library: Library) -> Any:
    if not library.instrumentor:
        return lambda: None
    module, _, attribute = library.instrumentor.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if library.package and error.name and f"{module}.".startswith(f"{error.name}."):
            raise _Missing from error
        raise


def _call(target: Any, library: Library) -> None:
    if library.begin:
        library.begin(target)
    elif isinstance(target, type):
        # Instrumentors refuse versions that they do not know. The table has the tested ones; others are traced, too.
        target().instrument(skip_dep_check=True, **library.options)  # pyright: ignore[reportAttributeAccessIssue]
    else:
        target()


def _say_if_untested(library: Library) -> None:
    from packaging.specifiers import SpecifierSet  # takes 30 ms, and an app may import none of the libraries

    installed = library.installed()
    if installed and not SpecifierSet(library.versions).contains(installed[1], prereleases=True):
        logger.warning("%s %s is traced, but only versions %s were tested", *installed, library.versions)
