"""Clients of observability platforms and gateways: MLflow, LangSmith, LiteLLM, Langfuse, Laminar, Logfire, Traceloop.

Sources: mlflow.tracing.constant, LangSmith's OpenTelemetry exporter (langsmith._internal.otel), LiteLLM's
integrations/opentelemetry.py, the attribute names of langfuse's packages/shared/src/server/otel/attributes.ts (SDK
version 3 on), Laminar's lmnr, Logfire's instrumentations of provider clients, Traceloop's OpenLLMetry
(opentelemetry-semantic-conventions-ai).
"""

import re
from collections.abc import Mapping
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.cost import mlflow_cost
from qualitrace_collector.convert.dialects.dialect import Dialect, span_types
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft, number, numbers_in, whole_number
from qualitrace_collector.convert.usage import (
    CACHE_READ,
    CACHE_WRITTEN,
    INPUT,
    OUTPUT,
    TOTAL,
    is_output_bucket,
    usage_of,
)

_MLFLOW_USAGE = {name: (name,) for name in (INPUT, OUTPUT, TOTAL, CACHE_READ, CACHE_WRITTEN)}
_MLFLOW_COST = {name: (name,) for name in ("input_cost", "output_cost", "total_cost")}


def _read_mlflow(draft: SpanDraft) -> None:
    """Read MLflow's own clients, whose fields come in MLflow's form, as JSON text under MLflow's names."""
    draft.native = "mlflow.spanType" in draft.values or "mlflow.traceRequestId" in draft.values
    kind = draft.text(("mlflow.spanType",))
    draft.type = None if kind == "UNKNOWN" else kind
    if draft.native:
        usage, cost = draft.values.get("mlflow.chat.tokenUsage"), draft.values.get("mlflow.llm.cost")
        draft.usage = numbers_in(draft.loads(usage), _MLFLOW_USAGE, whole_number) or None
        draft.cost = numbers_in(draft.loads(cost), _MLFLOW_COST, number) or None


MLFLOW = Dialect(
    name="mlflow",
    roots={"mlflow"},
    inputs=("mlflow.spanInputs",),
    outputs=("mlflow.spanOutputs",),
    tools=("mlflow.chat.tools",),
    model=("mlflow.llm.model",),
    provider=("mlflow.llm.provider",),
    session=("mlflow.trace.session",),
    user=("mlflow.trace.user",),
    before=_read_mlflow,
)

LANGSMITH = Dialect(
    name="langsmith",
    roots={"langsmith"},
    types={
        "langsmith.span.kind": span_types("chain tool retriever embedding parser", CHAT_MODEL="llm", CHAIN="prompt")
    },
    metadata=("langsmith.metadata.",),
)

_RAW_REQUEST = re.compile(r"^llm\.[\w-]+\.(messages|contents|prompt|input)$")
_RAW_ANSWER = re.compile(r"^llm\.[\w-]+\.(choices|content|output|candidates)$")


def _read_litellm(draft: SpanDraft) -> None:
    """Read the span of LiteLLM's raw request: its parent's call once more, in the provider's words."""
    if draft.span.name != "raw_gen_ai_request":
        return
    draft.type = SpanType.CHAIN
    for key, value in draft.values.items():
        if _RAW_REQUEST.match(key):
            draft.inputs = value
        elif _RAW_ANSWER.match(key):
            draft.outputs = value


LITELLM = Dialect(
    name="litellm",
    roots={"litellm"},
    shared_roots={"llm"},
    costs={"total_cost": ("litellm.response-cost",)},
    before=_read_litellm,
)


def _read_langfuse(draft: SpanDraft) -> None:
    details = draft.loads(draft.values.get("langfuse.observation.usage_details"))
    if draft.usage is None and isinstance(details, dict):
        draft.usage = usage_of(details)
    costs = draft.loads(draft.values.get("langfuse.observation.cost_details"))
    if draft.cost is None and isinstance(costs, dict):
        draft.cost = _cost_of_buckets(costs)
    if draft.values.get("langfuse.observation.level") == "ERROR":
        draft.failure = draft.text(("langfuse.observation.status_message",)) or ""


def _cost_of_buckets(details: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the total, or else the sum of the buckets: they are disjoint, as those of tokens are."""
    buckets = {key: amount for key, value in details.items() if (amount := number(value)) is not None}
    total = buckets.pop("total", None)
    if total is None and buckets:
        total = sum(buckets.values())
    output = [amount for key, amount in buckets.items() if is_output_bucket(key)]
    return mlflow_cost(total, None, sum(output) if output else None)


LANGFUSE = Dialect(
    name="langfuse",
    roots={"langfuse"},
    types={
        "langfuse.observation.type": span_types(
            "embedding agent tool chain retriever guardrail evaluator", CHAT_MODEL="generation"
        )
    },
    inputs=("langfuse.observation.input", "langfuse.trace.input"),
    outputs=("langfuse.observation.output", "langfuse.trace.output"),
    model=("langfuse.observation.model.name", "langfuse.observation.model"),
    session=("langfuse.session.id",),
    user=("langfuse.user.id",),
    prompt_name=("langfuse.observation.prompt.name",),
    prompt_version=("langfuse.observation.prompt.version",),
    before=_read_langfuse,
)

LAMINAR = Dialect(
    name="laminar",
    roots={"lmnr"},
    types={
        "lmnr.span.type": span_types(
            "LLM TOOL EVALUATOR",
            LLM="CACHED",
            CHAIN="DEFAULT PIPELINE",
            AGENT="EXECUTOR",
            EVALUATOR="HUMAN_EVALUATOR EVALUATION",
        )
    },
    inputs=("lmnr.span.input",),
    outputs=("lmnr.span.output",),
    session=("lmnr.association.properties.session_id",),
    user=("lmnr.association.properties.user_id",),
)


def _read_logfire(draft: SpanDraft) -> None:
    """Read the request and response bodies of Logfire before it had GenAI messages."""
    request = draft.loads(draft.values.get("request_data"))
    if draft.inputs is None and isinstance(request, dict) and request.keys() & {"messages", "input"}:
        draft.inputs = request
        draft.model = draft.model or request.get("model")
    response = draft.loads(draft.values.get("response_data"))
    if draft.outputs is None and isinstance(response, dict):
        message = response.get("message") or response.get("combined_chunk_content")
        draft.outputs = message if message is not None else response


def _leave_stream_to_its_end(draft: SpanDraft) -> None:
    """Turn the span of a streamed request into a chain.

    Logfire ends that span when the stream opens. At the stream's end it logs a record with the answer, in a trace of
    its own if there is no parent: the record is the call.
    """
    if draft.type in CALL_TYPES and draft.outputs is None and draft.values.get("logfire.span_type") == "span":
        failed = draft.span.status.code == draft.span.status.STATUS_CODE_ERROR
        if not failed and draft.usage is None and draft.scope in ("logfire.openai", "logfire.anthropic"):
            draft.type = SpanType.CHAIN


LOGFIRE = Dialect(name="logfire", shared_roots={"logfire"}, before=_read_logfire, after=_leave_stream_to_its_end)

# OpenLLMetry's instrumentations of LangChain and LlamaIndex record inputs and outputs inside the arguments of the
# callback that saw them; those of vector databases record each hit as an event.
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
    prompt_name=("traceloop.prompt.key",),
    prompt_version=("traceloop.prompt.version",),
    metadata=("traceloop.association.properties.",),
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
