"""Keeps a second instrumentor away from a library that has one: each call would be two spans, or two traces."""

import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import wrapt

from qualitrace.libraries.library import Library
from qualitrace.quiet import logger

_MODULE = "opentelemetry.instrumentation.instrumentor"
_starting: ContextVar[Library | None] = ContextVar("qualitrace_starting", default=None)
_traced: dict[str, Library] = {}  # by the library's distributions


@contextmanager
def starting(library: Library) -> Generator[None]:
    """Let the instrumentors that start in the block through; afterwards others of the library are refused."""
    token = _starting.set(library)
    try:
        yield
    finally:
        _starting.reset(token)
    if not library.shared:
        _traced.update(dict.fromkeys(map(_canonical, library.distributions), library))


def refuse_rivals() -> None:
    """Refuse other instrumentors of traced libraries, whether the app or `opentelemetry-instrument` starts them."""
    wrapt.register_post_import_hook(_wrap, _MODULE)


def _wrap(module: Any) -> None:
    if not isinstance(module.BaseInstrumentor.__dict__["instrument"], wrapt.FunctionWrapper):
        wrapt.wrap_function_wrapper(module, "BaseInstrumentor.instrument", _instrument)


def _instrument(wrapped: Any, instrumentor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    library = None if _starting.get() else next(filter(None, map(_traced.get, _targets(instrumentor))), None)
    if library is None or instrumentor.is_instrumented_by_opentelemetry:
        return wrapped(*args, **kwargs)
    logger.warning(
        "%s is refused: qualitrace traces %s already, and each call would count twice; "
        "to prefer it, set QUALITRACE_INSTRUMENT=%s",
        path_of(type(instrumentor)),
        library.name,
        ",".join(f"-{name}" for name in (library.name, *library.also_off)),
    )
    return None


def active_instrumentor(library: Library) -> type | None:
    """Return the class of an instrumentor of this library that the app has started by itself; None without one."""
    module = sys.modules.get(_MODULE)
    if module is None or library.shared:
        return None
    wanted = set(map(_canonical, library.distributions))
    for kind in subclasses(module.BaseInstrumentor):
        instrumentor = kind.__dict__.get("_instance")
        active = instrumentor is not None and instrumentor.is_instrumented_by_opentelemetry
        if active and wanted.intersection(_targets(instrumentor)):
            return kind
    return None


def path_of(kind: type) -> str:
    """Return `module.name` of a class, as the log shows it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def subclasses(kind: type) -> Iterable[type]:
    """Yield all classes below a class."""
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def _targets(instrumentor: Any) -> list[str]:
    """Return the distributions that an instrumentor says it is for."""
    from packaging.requirements import (  # takes 30 ms, so not before an instrumentor comes
        InvalidRequirement,
        Requirement,
    )

    found: list[str] = []
    try:
        for text in instrumentor.instrumentation_dependencies():
            found.append(_canonical(Requirement(text).name))
    except (InvalidRequirement, AttributeError, TypeError):
        return found
    return found


def _canonical(distribution: str) -> str:
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    return re.sub(r"[-_.]+", "-", distribution).lower()
