"""The texts of documents that LangChain's retrievers find, and searches of its stores without a retriever."""

import inspect
import re
from typing import Any

import wrapt

from qualitrace.documents import retrieval_attributes
from qualitrace.libraries.collisions import subclasses
from qualitrace.libraries.retrieval import Store, traced
from qualitrace.quiet import never_raises
from qualitrace.serialize import to_text

_SEARCHES = re.compile(r"a?(similarity|max_marginal_relevance)_search")


def complete() -> None:
    """Add to OpenTelemetry's instrumentor what it leaves out."""
    _record_documents()
    wrapt.register_post_import_hook(_trace_stores, "langchain_core.vectorstores.base")


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


@never_raises
def _trace_stores(module: Any) -> None:
    """Make a span of each search of a store, in the classes that there are and in those to come.

    A node of a graph often searches a store itself. The callbacks know only of retrievers, which have their own span.
    """
    base = module.VectorStore

    def init_subclass(kind: Any, **arguments: Any) -> None:
        super(base, kind).__init_subclass__(**arguments)
        _trace_store(kind)

    for kind in subclasses(base):
        _trace_store(kind)
    base.__init_subclass__ = classmethod(init_subclass)


@never_raises
def _trace_store(kind: type) -> None:
    store = Store(name=kind.__name__.lower(), queries={})
    searches = [name for name, value in vars(kind).items() if _SEARCHES.match(name) and inspect.isfunction(value)]
    for name in searches:
        setattr(kind, name, traced(store, vars(kind)[name]))
