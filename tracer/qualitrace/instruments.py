"""The libraries that are traced, the one instrumentor of each, and whether they record content.

Entry points are not used: two packages claim the name `openai`, and a call must not be traced twice. An
instrumentor is loaded when the app imports its library, never before: the instrumentors of openai and anthropic
take about a second to import.
"""

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import wrapt

from qualitrace.documents import retrieval_attributes
from qualitrace.quiet import logger, never_raises
from qualitrace.serialize import to_text

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CONTENT_ON_SPANS = ("span_only", "span_and_event")


@dataclass(frozen=True)
class Instrumentor:
    """How a library is traced.

    Attributes:
        module: the import whose end triggers the instrumentor.
        target: `module:class` of an OpenTelemetry `BaseInstrumentor`.
        optional: the instrumentor is no dependency of this package; without it the library stays untraced.
        check_version: let the instrumentor refuse versions of the library that it does not know.
        then: called afterwards.
    """

    module: str
    target: str
    optional: bool = False
    check_version: bool = True
    then: Callable[[], None] = lambda: None


def captures_content() -> bool:
    """Return whether prompts, answers, arguments and documents are recorded on spans."""
    return os.environ.get(CONTENT_VARIABLE, "").lower() in CONTENT_ON_SPANS


def capture_content(wanted: bool) -> None:
    """Record content on spans or not, here and in the instrumentors, which read the same variable."""
    if captures_content() != wanted:  # else the user's own mode stays: span_and_event says yes, too
        os.environ[CONTENT_VARIABLE] = "span_only" if wanted else "no_content"


def _record_documents() -> None:
    """Let OpenTelemetry's LangChain callback handler record the texts of documents, not only ids and scores.

    Groundedness is judged by what the retriever found. A callback handler of our own would make a second span.
    """
    module = "opentelemetry.instrumentation.genai.langchain.callback_handler"
    wrapt.wrap_function_wrapper(module, "OpenTelemetryLangChainCallbackHandler.on_retriever_end", _on_retriever_end)


def _on_retriever_end(wrapped: Any, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _add_documents(handler, args[0] if args else kwargs.get("documents"), kwargs.get("run_id"))
    return wrapped(*args, **kwargs)


@never_raises
def _add_documents(handler: Any, documents: Any, run_id: Any) -> None:
    invocation = handler._invocation_manager.get_invocation(run_id)
    if invocation is None or not invocation.should_capture_content:
        return
    query, mime_type = to_text(invocation.query_text or "")
    invocation.attributes.update(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": query,
            "input.mime_type": mime_type,
            **retrieval_attributes(documents),
        }
    )


LIBRARIES = {
    "openai": Instrumentor("openai", "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor"),
    "anthropic": Instrumentor("anthropic", "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor"),
    "langchain": Instrumentor(
        "langchain_core",
        "opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
        check_version=False,  # it asks for the distribution langchain, but patches langchain-core alone
        then=_record_documents,
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
            # anthropic 2 makes spans of its own, too: each call would be traced twice
            os.environ.setdefault("ANTHROPIC_OPEN_TELEMETRY", "false")
        if name not in _wanted:
            _wanted.add(name)
            # This calls the hook at once if the library is imported already.
            wrapt.register_post_import_hook(lambda _, name=name: _instrument(name), LIBRARIES[name].module)


def _instrument(name: str) -> None:
    """Start the instrumentor of a library."""
    row = LIBRARIES[name]
    module, _, attribute = row.target.partition(":")
    try:
        instrumentor = getattr(importlib.import_module(module), attribute)()
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(skip_dep_check=not row.check_version, raise_exception_on_conflict=True)
        row.then()
    except Exception as error:  # this runs inside the app's import, which must not fail
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        if row.optional and missing:
            logger.debug("%s is not traced: install opentelemetry-instrumentation-%s", name, name)
        else:
            logger.warning("%s is not traced: %s", name, error)
