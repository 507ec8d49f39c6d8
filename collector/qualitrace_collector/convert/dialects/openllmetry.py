"""OpenLLMetry (Traceloop): workflow spans of opentelemetry-semantic-conventions-ai.

Its LangChain and LlamaIndex instrumentations record inputs and outputs inside the arguments of the callback that
saw them; its vector databases record each hit as an event.
"""

import re
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.dialects.dialect import Dialect, span_types
from qualitrace_collector.convert.span_draft import SpanDraft

_RETRIEVES = re.compile(r"retriev", re.IGNORECASE)
_TOOL_CLASS = re.compile(r"Tool\.(task|tool)$")
_CALLBACK_KEYS = {"tags", "metadata", "kwargs", "count"}
_WRAPPED = ("inputs", "outputs", "input_str", "output", "query", "documents")
_HITS = {"db.query.result", "db.search.result"}


def _unwrap(draft: SpanDraft, value: Any) -> Any:
    """Take what was passed out of the callback's arguments: `{"inputs": …, "tags": [], "metadata": {}, …}`."""
    opened = draft.loads(value)
    if isinstance(opened, dict) and opened.keys() & _CALLBACK_KEYS:
        rest = opened.keys() - _CALLBACK_KEYS
        if len(rest) == 1 and (name := next(iter(rest))) in _WRAPPED:
            return opened[name]
        if opened.keys() == {"kwargs"}:
            return opened["kwargs"]
    return value


def _refine_task(draft: SpanDraft) -> None:
    """Find the retrievers, the tools and the steps of an agent among LlamaIndex's tasks."""
    if draft.type != SpanType.TASK:
        return
    entity = draft.text(("traceloop.entity.name",)) or draft.span.name
    outputs = draft.loads(draft.outputs)
    if _RETRIEVES.search(entity) and documents(outputs):
        draft.type = SpanType.RETRIEVER
    elif _TOOL_CLASS.search(entity) or "tool.name" in draft.values:
        draft.type = SpanType.TOOL
        draft.inputs = draft.inputs if draft.inputs is not None else draft.first(("tool.arguments",))
    elif draft.inputs is None and isinstance(outputs, dict) and isinstance(outputs.get("input"), list):
        draft.inputs = {"messages": outputs["input"]}  # the step that passes the user's turn on to the next


TRACELOOP = Dialect(
    name="openllmetry",
    roots={"traceloop"},
    types={"traceloop.span.kind": span_types("workflow task agent tool")},
    inputs=("traceloop.entity.input",),
    outputs=("traceloop.entity.output",),
    user=("llm.user",),
    metadata="traceloop.association.properties.",
    unwrap=_unwrap,
    after=_refine_task,
)


def _read_hits(draft: SpanDraft) -> None:
    hits = [event.attributes for event in draft.events if event.name in _HITS]
    if not hits or draft.type is not None:
        return
    draft.type = SpanType.RETRIEVER
    if draft.inputs is None:
        draft.inputs = draft.first(("db.query.text", "db.marqo.search.query", "db.statement"))
    if draft.outputs is None:
        draft.outputs = documents([{key.rpartition(".")[2]: value for key, value in hit.items()} for hit in hits])


VECTOR_STORES = Dialect(name="openllmetry", shared_roots={"db"}, before=_read_hits)
