"""Agent frameworks whose own telemetry needs no more than a table, or little more.

Sources: Google ADK's telemetry/tracing.py, AG2's middleware/builtin/telemetry.py, OpenInference's and OpenLLMetry's
instrumentations of CrewAI, Mastra's @mastra/otel-exporter, LiveKit Agents, VoltAgent, Spring AI's observability
reference, Claude Code's monitoring documentation, Pydantic AI's InstrumentationSettings (formats 1 to 6),
haystack/tracing and the `meta` of Haystack's chat messages and generators, Genkit's js/core/src/tracing and
GenerateResponseSchema of js/ai/src/model-types.ts.
"""

import re
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content import answer_text
from qualitrace_collector.convert.dialects.dialect import Dialect, span_types
from qualitrace_collector.convert.dialects.genai import fill_from_events
from qualitrace_collector.convert.span_draft import CALL_TYPES, Event, SpanDraft, numbers_in, whole_number
from qualitrace_collector.convert.usage import with_total


def _read_adk(draft: SpanDraft) -> None:
    if draft.type is None and "gen_ai.operation.name" not in draft.values:
        if "gcp.vertex.agent.llm_request" in draft.values:
            draft.type = SpanType.LLM
        elif "gcp.vertex.agent.tool_call_args" in draft.values:
            draft.type = SpanType.TOOL


ADK = Dialect(
    name="adk",
    shared_roots={"gcp"},
    inputs=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.data"),
    outputs=("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
    session=("gcp.vertex.agent.session_id",),
    before=_read_adk,
)


def _read_ag2(draft: SpanDraft) -> None:
    """Leave out the records of tokens that AG2 keeps beside its spans of calls: they would count twice."""
    if draft.values.get("ag2.span.type") == "usage":
        draft.type, draft.usage = SpanType.UNKNOWN, None


AG2 = Dialect(name="ag2", roots={"ag2"}, after=_read_ag2)


# A place in a task's description where CrewAI puts one of the user's inputs.
_CREWAI_INPUT = re.compile(r"\{[A-Za-z_][\w-]{0,60}\}")


def _read_crewai(draft: SpanDraft) -> None:
    """Read what a crew was asked: the descriptions of its tasks.

    Those without the user's inputs are left out: the spans of the tasks, which start later, have them filled in.
    """
    tasks = draft.loads(draft.first(("crewai.crew.tasks", "crew_tasks")))
    if draft.inputs is None and isinstance(tasks, list):
        asked = [task["description"] for task in tasks if isinstance(task, dict) and task.get("description")]
        text = "\n".join(map(str, asked))
        draft.inputs = None if _CREWAI_INPUT.search(text) else text or None


CREWAI = Dialect(
    name="crewai",
    roots={"crewai", "crew_tasks"},
    inputs=("crewai.task.description",),
    outputs=("crewai.crew.result", "crewai.flow.result"),
    before=_read_crewai,
)


def _read_mastra(draft: SpanDraft) -> None:
    kind = draft.text(("mastra.span.type",))
    draft.inputs = draft.inputs if draft.inputs is not None else draft.first((f"mastra.{kind}.input",))
    # If the answer is tool calls alone, the inference records an empty text, and the step around it the calls.
    if draft.outputs is None or (kind == "model_inference" and not answer_text(draft.outputs)):
        draft.outputs = draft.first((f"mastra.{kind}.output",))


MASTRA = Dialect(
    name="mastra",
    roots={"mastra"},
    types={
        "mastra.span.type": span_types(
            AGENT="agent_run",
            LLM="model_generation model_step",
            CHAT_MODEL="model_inference",
            TOOL="tool_call mcp_tool_call client_tool_call provider_tool_call",
            WORKFLOW="workflow_run",
            TASK="workflow_step",
            MEMORY="memory_operation",
            EMBEDDING="rag_embedding",
            EVALUATOR="scorer_run",
        )
    },
    metadata=("mastra.metadata.",),
    before=_read_mastra,
)


def _read_livekit(draft: SpanDraft) -> None:
    if draft.type is None:
        if any(key.startswith("lk.function_tool") for key in draft.values):
            draft.type = SpanType.TOOL
        elif "gen_ai.request.model" in draft.values or "lk.retry_count" in draft.values:
            draft.type = SpanType.LLM
        elif "lk.instructions" in draft.values or "lk.agent_name" in draft.values:
            draft.type = SpanType.AGENT


LIVEKIT = Dialect(
    name="livekit",
    roots={"lk"},
    inputs=("lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text", "lk.function_tool.arguments"),
    outputs=("lk.response.text", "lk.response.function_calls", "lk.function_tool.output"),
    message_format="livekit",
    before=_read_livekit,
)

_VOLTAGENT_TYPES = span_types("agent llm tool memory retriever")

VOLTAGENT = Dialect(
    name="voltagent",
    roots={"voltagent"},
    types={"span.type": _VOLTAGENT_TYPES, "entity.type": _VOLTAGENT_TYPES},
    inputs=("agent.messages", "llm.messages", "input"),
    outputs=("output",),
    model=("llm.model", "ai.model.name"),
    tokens={
        "input_tokens": ("usage.prompt_tokens", "llm.usage.prompt_tokens"),
        "output_tokens": ("usage.completion_tokens", "llm.usage.completion_tokens"),
        "total_tokens": ("usage.total_tokens", "llm.usage.total_tokens"),
    },
    costs={"total_cost": ("llm.usage.cost",)},
    session=("voltagent.conversation_id",),
    message_format="voltagent",
)

SPRING = Dialect(
    name="spring-ai",
    shared_roots={"spring"},
    types={"spring.ai.kind": span_types(RETRIEVER="vector_store", CHAIN="chat_client advisor")},
    inputs=("db.vector.query.content",),
    outputs=("db.vector.query.response.documents",),
)

_CLAUDE_CODE_TYPES = span_types(AGENT="interaction", LLM="llm_request", TOOL="tool")


def _read_claude_code(draft: SpanDraft) -> None:
    """Read Claude Code's spans, which are named after their type and keep a tool's result in an event."""
    kind = draft.span.name.removeprefix("claude_code.")
    draft.type = _CLAUDE_CODE_TYPES.get(kind)
    names = ("user_prompt", "new_context", "tool_input", "full_command", "file_path")
    draft.inputs = _not_redacted(draft.first(names))
    draft.outputs = _not_redacted(draft.first(("response.model_output",)))
    for event in draft.events:
        if event.name == "tool.output" and draft.outputs is None:
            shown = (_not_redacted(event.attributes.get(key)) for key in ("output", "content", "diff"))
            draft.outputs = next(filter(None, shown), None)
    if kind == "llm_request" and (count := draft.count(("input_tokens",))) is not None:
        read, written = draft.count(("cache_read_tokens",)) or 0, draft.count(("cache_creation_tokens",)) or 0
        output = draft.count(("output_tokens",)) or 0
        draft.usage = {
            "input_tokens": count + read + written,  # Anthropic's count leaves cached tokens out
            "output_tokens": output,
            "total_tokens": count + read + written + output,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
        }


def _not_redacted(value: Any) -> Any:
    """Return None for content that Claude Code withholds unless it is asked for it."""
    return None if value == "<REDACTED>" else value


CLAUDE_CODE = Dialect(
    name="claude-code",
    roots={"claude_code"},
    span_prefix="claude_code.",
    model=("model",),
    before=_read_claude_code,
)


def _read_pydantic_ai(draft: SpanDraft) -> None:
    values = draft.values
    if draft.type is None and "gen_ai.operation.name" not in values and "agent_name" in values:
        draft.type = SpanType.AGENT
    history = draft.loads(values.get("pydantic_ai.all_messages"))
    if isinstance(history, list) and draft.inputs is None:
        _split_history(draft, history)
    for key in ("all_messages_events", "events"):  # format 1: events as one attribute
        listed = draft.loads(values.get(key))
        if isinstance(listed, list):
            draft.outputs = draft.outputs if draft.outputs is not None else draft.first(("final_result",))
            events = [Event(str(item.get("event.name", "")), 0, item) for item in listed if isinstance(item, dict)]
            fill_from_events(draft, events)


def _split_history(draft: SpanDraft, history: list[Any]) -> None:
    """Split a run's messages into what was asked and what came of it."""
    new = draft.count(("pydantic_ai.new_message_index",)) or 0
    roles = [message.get("role") if isinstance(message, dict) else None for message in history]
    end = next((n for n in range(new, len(history)) if roles[n] == "assistant"), len(history))
    instructions = draft.loads(draft.values.get("gen_ai.system_instructions"))
    system = [{"role": "system", "parts": instructions}] if isinstance(instructions, list) else []
    draft.inputs = [*system, *history[:end]]
    if draft.outputs is None and "final_result" not in draft.values and end < len(history):
        draft.outputs = history[-1:]


PYDANTIC_AI = Dialect(
    name="pydantic-ai",
    roots={"pydantic_ai", "all_messages_events", "final_result", "tool_response"},
    shared_roots={"events", "agent_name"},
    inputs=("tool_arguments",),
    outputs=("final_result", "tool_response"),
    before=_read_pydantic_ai,
)

_REPLY_USAGE = {
    "input_tokens": ("prompt_tokens", "input_tokens", "inputTokens"),
    "output_tokens": ("completion_tokens", "output_tokens", "outputTokens"),
    "total_tokens": ("total_tokens", "totalTokens"),
    "cache_read_input_tokens": ("cachedContentTokens",),
    "reasoning_tokens": ("thoughtsTokens",),
}
_HAYSTACK_TYPES = span_types(
    CHAT_MODEL="ChatGenerator",
    LLM="Generator",
    RETRIEVER="Retriever",
    EMBEDDING="Embedder",
    RERANKER="Ranker",
    TOOL="ToolInvoker",
    AGENT="Agent",
)


def _read_haystack(draft: SpanDraft) -> None:
    """Read the type from the end of the component's class, model and counts from the reply's `meta`."""
    component = draft.text(("haystack.component.type",)) or ""
    if draft.type is None:
        kinds = (kind for suffix, kind in _HAYSTACK_TYPES.items() if component.endswith(suffix))
        draft.type = next(kinds, SpanType.CHAIN)
    if draft.type in CALL_TYPES:
        output = draft.loads(draft.values.get("haystack.component.output"))
        replies = output.get("meta") or output.get("replies") if isinstance(output, dict) else None
        reply = replies[0] if isinstance(replies, list) and replies else None
        meta = reply.get("meta", reply) if isinstance(reply, dict) else None
        if isinstance(meta, dict):
            draft.model = draft.model or meta.get("model")
            draft.usage = draft.usage or with_total(numbers_in(meta.get("usage"), _REPLY_USAGE, whole_number))


HAYSTACK = Dialect(
    name="haystack",
    roots={"haystack"},
    inputs=("haystack.component.input", "haystack.pipeline.input_data", "haystack.agent.input"),
    outputs=("haystack.component.output", "haystack.pipeline.output_data", "haystack.agent.output"),
    before=_read_haystack,
)


def _read_genkit(draft: SpanDraft) -> None:
    if draft.values.get("genkit:metadata:subtype") == "model":
        draft.model = draft.model or draft.text(("genkit:name",))
        response = draft.loads(draft.values.get("genkit:output"))
        if isinstance(response, dict):
            draft.usage = draft.usage or with_total(numbers_in(response.get("usage"), _REPLY_USAGE, whole_number))


GENKIT = Dialect(
    name="genkit",
    roots={"genkit"},
    types={
        "genkit:metadata:subtype": span_types(
            "tool retriever reranker evaluator", CHAT_MODEL="model", EMBEDDING="embedder", WORKFLOW="flow"
        )
    },
    inputs=("genkit:input",),
    outputs=("genkit:output",),
    session=("genkit:sessionId",),
    before=_read_genkit,
)
