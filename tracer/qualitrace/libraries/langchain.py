"""The texts of documents that LangChain's retrievers find."""

from typing import Any

import wrapt

from qualitrace.documents import retrieval_attributes
from qualitrace.quiet import never_raises
from qualitrace.serialize import to_text


def record_documents() -> None:
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
