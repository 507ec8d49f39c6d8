"""The table of libraries. Each has one instrumentor, so that a call is one span."""

import importlib.metadata
from collections.abc import Mapping
from functools import cache

from qualitrace.libraries.langchain import record_documents
from qualitrace.libraries.library import Library
from qualitrace.quiet import logger

ENTRY_POINTS = "qualitrace_libraries"

_TABLE = (
    Library(
        name="openai",
        module="openai",
        distributions=("openai",),
        versions=">=1.109,<4",
        instrumentor="opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
        why="OpenTelemetry's own: chat, streams, tools, parse and Responses as one span each, sync and async",
    ),
    Library(
        name="anthropic",
        module="anthropic",
        distributions=("anthropic",),
        versions=">=0.51,<3",
        instrumentor="opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
        why="OpenTelemetry's own; the spans that anthropic 2 makes itself are off, else each call would be two",
        environ={"ANTHROPIC_OPEN_TELEMETRY": "false"},
    ),
    Library(
        name="langchain",
        module="langchain_core",
        distributions=("langchain-core",),
        versions=">=0.3,<2",
        instrumentor="opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
        why="OpenTelemetry's own; OpenInference's does not make its spans current, so that model calls leave the trace",
        then=record_documents,
    ),
    Library(
        name="starlette",
        module="starlette",
        distributions=("starlette",),
        versions=">=0.13,<2",
        instrumentor="opentelemetry.instrumentation.starlette:StarletteInstrumentor",
        package="opentelemetry-instrumentation-starlette>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
    ),
    Library(
        name="fastapi",
        module="fastapi",
        distributions=("fastapi",),
        versions=">=0.92,<1",
        instrumentor="opentelemetry.instrumentation.fastapi:FastAPIInstrumentor",
        package="opentelemetry-instrumentation-fastapi>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
    ),
    Library(
        name="flask",
        module="flask",
        distributions=("flask",),
        versions=">=1,<4",
        instrumentor="opentelemetry.instrumentation.flask:FlaskInstrumentor",
        package="opentelemetry-instrumentation-flask>=0.60b0,<1",
        why="OpenTelemetry's own: a request is the root of its trace",
    ),
)


@cache
def libraries() -> Mapping[str, Library]:
    """Return the table by name, with the rows that other distributions add by the entry point group above.

    An entry point names a `Library`. One with the name of a row here takes its place.
    """
    rows = {library.name: library for library in _TABLE}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            library = entry.load()
            if not isinstance(library, Library):
                raise TypeError(f"it is no qualitrace Library but {type(library).__name__}")
        except Exception as error:
            logger.warning("the entry point %s = %s is ignored: %s", entry.name, entry.value, error)
        else:
            rows[library.name] = library
    return rows


def default_libraries() -> tuple[str, ...]:
    """Return the names of the libraries that are traced unless a setting says otherwise."""
    return tuple(library.name for library in libraries().values() if library.by_default)
