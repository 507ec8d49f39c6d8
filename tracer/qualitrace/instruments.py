"""The libraries that are traced, and the one instrumentor of each.

Entry points are not used: two packages claim the name `openai`, and a call must not be traced twice. An
instrumentor is loaded when the app imports its library, never before: nothing is imported that the app does
not use.
"""

import importlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import wrapt

from qualitrace.quiet import logger


@dataclass(frozen=True)
class Instrumentor:
    """How a library is traced.

    Attributes:
        module: the import whose end triggers the instrumentor.
        target: `module:class` of an OpenTelemetry `BaseInstrumentor`.
        optional: the instrumentor is no dependency of ours; without it the library stays untraced.
        check_version: let the instrumentor refuse versions of the library that it does not know.
        then: `module:function` to call afterwards.
    """

    module: str
    target: str
    optional: bool = False
    check_version: bool = True
    then: str | None = None


LIBRARIES = {
    "openai": Instrumentor("openai", "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor"),
    "anthropic": Instrumentor("anthropic", "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor"),
    "langchain": Instrumentor(
        "langchain_core",
        "opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
        check_version=False,  # it asks for the distribution langchain, but patches langchain-core alone
        then="qualitrace.retrievals:record_documents",
    ),
    "starlette": Instrumentor(
        "starlette", "opentelemetry.instrumentation.starlette:StarletteInstrumentor", optional=True
    ),
    "fastapi": Instrumentor("fastapi", "opentelemetry.instrumentation.fastapi:FastAPIInstrumentor", optional=True),
    "flask": Instrumentor("flask", "opentelemetry.instrumentation.flask:FlaskInstrumentor", optional=True),
}

_wanted: set[str] = set()


def instrument(names: Iterable[str]) -> None:
    """Trace the libraries `names`: now if they are imported, else when they are. Safe twice."""
    for name in names:
        if name == "anthropic":
            # anthropic 2 makes spans of its own: each call would be traced twice
            os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")
        if name not in _wanted:
            _wanted.add(name)
            wrapt.register_post_import_hook(lambda _, name=name: _instrument(name), LIBRARIES[name].module)


def _instrument(name: str) -> None:
    """Start the instrumentor of a library; this runs inside the app's import, so nothing may escape."""
    row = LIBRARIES[name]
    try:
        instrumentor = _load(row.target)()
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(skip_dep_check=not row.check_version, raise_exception_on_conflict=True)
        if row.then:
            _load(row.then)()
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and row.target.startswith(f"{error.name}:")
        if row.optional and missing:
            logger.debug("%s is not traced: install opentelemetry-instrumentation-%s", name, name)
        else:
            logger.warning("%s is not traced: %s", name, error)


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
