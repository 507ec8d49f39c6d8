"""Document texts on LangChain's retriever spans: OpenTelemetry's carry only ids and scores.

Groundedness is judged by what the retriever found, so the text must travel.
"""

from typing import Any

import wrapt

from qualitrace.documents import retrieval_attributes
from qualitrace.quiet import never_raises
from qualitrace.serialize import to_text

_HANDLER = "opentelemetry.instrumentation.genai.langchain.callback_handler"
_METHOD = "OpenTelemetryLangChainCallbackHandler.on_retriever_end"


def record_documents() -> None:
    """Let the callback handler of OpenTelemetry's LangChain instrumentation record documents with text."""
    wrapt.wrap_function_wrapper(_HANDLER, _METHOD, _on_retriever_end)


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
