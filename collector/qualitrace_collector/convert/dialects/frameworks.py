"""Libraries whose own telemetry needs no more than a table, or little more.

Sources: LangSmith's OpenTelemetry exporter (langsmith._internal.otel), Google ADK's telemetry/tracing.py, LiteLLM's
integrations/opentelemetry.py, OpenInference's and OpenLLMetry's instrumentations of CrewAI, Mastra's
@mastra/otel-exporter, Laminar (lmnr), LiveKit Agents, VoltAgent, Spring AI's observability reference, Claude Code's
monitoring documentation.
"""

import re
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.content import answer_text
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.span_draft import SpanDraft

LANGSMITH = Dialect(
    roots=frozenset({"langsmith"}),
    types={
        "langsmith.span.kind": {
            "llm": SpanType.CHAT_MODEL,
            "chain": SpanType.CHAIN,
            "prompt": SpanType.CHAIN,
            "tool": SpanType.TOOL,
            "retriever": SpanType.RETRIEVER,
            "embedding": SpanType.EMBEDDING,
            "parser": SpanType.PARSER,
        }
    },
)


def _read_adk(draft: SpanDraft) -> None:
    if draft.type is None and "gen_ai.operation.name" not in draft.values:
        if "gcp.vertex.agent.llm_request" in draft.values:
            draft.type = SpanType.LLM
        elif "gcp.vertex.agent.tool_call_args" in draft.values:
            draft.type = SpanType.TOOL


ADK = Dialect(
    roots=frozenset({"gcp"}),
    inputs=("gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args", "gcp.vertex.agent.data"),
    outputs=("gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"),
    before=_read_adk,
)

_RAW_REQUEST = re.compile(r"^llm\.[\w-]+\.(messages|contents|prompt|input)$")
_RAW_ANSWER = re.compile(r"^llm\.[\w-]+\.(choices|content|output|candidates)$")


def _read_litellm(draft: SpanDraft) -> None:
    """Type the span of LiteLLM's raw request: the same call as its parent's, in the provider's words."""
    if draft.span.name != "raw_gen_ai_request":
        return
    draft.type = SpanType.CHAIN
    for key, value in draft.values.items():
        if _RAW_REQUEST.match(key):
            draft.inputs = value
        elif _RAW_ANSWER.match(key):
            draft.outputs = value


LITELLM = Dialect(roots=frozenset({"llm", "litellm"}), before=_read_litellm)


def _read_crewai(draft: SpanDraft) -> None:
    """Read what a crew was asked: the descriptions of its tasks, with the user's inputs filled in."""
    tasks = draft.loads(draft.first(("crewai.crew.tasks", "crew_tasks")))
    if draft.inputs is None and isinstance(tasks, list):
        told = [task["description"] for task in tasks if isinstance(task, dict) and task.get("description")]
        draft.inputs = "\n".join(map(str, told)) or None


CREWAI = Dialect(
    roots=frozenset({"crewai", "crew_tasks"}),
    inputs=("crewai.task.description",),
    outputs=("crewai.crew.result", "crewai.flow.result"),
    before=_read_crewai,
)


def _read_mastra(draft: SpanDraft) -> None:
    kind = draft.text(("mastra.span.type",))
    draft.inputs = draft.inputs if draft.inputs is not None else draft.first((f"mastra.{kind}.input",))
    if draft.outputs is None or (kind == "model_inference" and not answer_text(draft.outputs)):
        # of an answer that is tool calls alone, the inference tells an empty text, and the step around it all
        draft.outputs = draft.first((f"mastra.{kind}.output",))


MASTRA = Dialect(
    roots=frozenset({"mastra"}),
    types={
        "mastra.span.type": {
            "agent_run": SpanType.AGENT,
            "model_generation": SpanType.LLM,
            "model_step": SpanType.LLM,
            "model_inference": SpanType.CHAT_MODEL,
            "tool_call": SpanType.TOOL,
            "mcp_tool_call": SpanType.TOOL,
            "client_tool_call": SpanType.TOOL,
            "provider_tool_call": SpanType.TOOL,
            "workflow_run": SpanType.WORKFLOW,
            "workflow_step": SpanType.TASK,
            "memory_operation": SpanType.MEMORY,
            "rag_embedding": SpanType.EMBEDDING,
            "scorer_run": SpanType.EVALUATOR,
        }
    },
    before=_read_mastra,
)

LAMINAR = Dialect(
    roots=frozenset({"lmnr"}),
    types={
        "lmnr.span.type": {
            "LLM": SpanType.LLM,
            "CACHED": SpanType.LLM,
            "TOOL": SpanType.TOOL,
            "DEFAULT": SpanType.CHAIN,
            "PIPELINE": SpanType.CHAIN,
            "EXECUTOR": SpanType.AGENT,
            "EVALUATOR": SpanType.EVALUATOR,
            "HUMAN_EVALUATOR": SpanType.EVALUATOR,
            "EVALUATION": SpanType.EVALUATOR,
        }
    },
    inputs=("lmnr.span.input",),
    outputs=("lmnr.span.output",),
)


def _read_livekit(draft: SpanDraft) -> None:
    draft.message_format = "livekit"
    if draft.type is None:
        if any(key.startswith("lk.function_tool") for key in draft.values):
            draft.type = SpanType.TOOL
        elif "gen_ai.request.model" in draft.values or "lk.retry_count" in draft.values:
            draft.type = SpanType.LLM
        elif "lk.instructions" in draft.values or "lk.agent_name" in draft.values:
            draft.type = SpanType.AGENT


LIVEKIT = Dialect(
    roots=frozenset({"lk"}),
    inputs=("lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text", "lk.function_tool.arguments"),
    outputs=("lk.response.text", "lk.response.function_calls", "lk.function_tool.output"),
    before=_read_livekit,
)

_VOLTAGENT_TYPES = {
    "agent": SpanType.AGENT,
    "llm": SpanType.LLM,
    "tool": SpanType.TOOL,
    "memory": SpanType.MEMORY,
    "retriever": SpanType.RETRIEVER,
}


def _read_voltagent(draft: SpanDraft) -> None:
    draft.message_format = "voltagent"


VOLTAGENT = Dialect(
    roots=frozenset({"voltagent"}),
    types={"span.type": _VOLTAGENT_TYPES, "entity.type": _VOLTAGENT_TYPES},
    inputs=("agent.messages", "llm.messages", "input"),
    outputs=("output",),
    model=("llm.model", "ai.model.name"),
    tokens={
        "input_tokens": ("usage.prompt_tokens", "llm.usage.prompt_tokens"),
        "output_tokens": ("usage.completion_tokens", "llm.usage.completion_tokens"),
        "total_tokens": ("usage.total_tokens", "llm.usage.total_tokens"),
    },
    before=_read_voltagent,
)

SPRING = Dialect(
    roots=frozenset({"spring"}),
    types={
        "spring.ai.kind": {
            "vector_store": SpanType.RETRIEVER,
            "chat_client": SpanType.CHAIN,
            "advisor": SpanType.CHAIN,
        }
    },
    inputs=("db.vector.query.content",),
    outputs=("db.vector.query.response.documents",),
)

_REDACTED = "<REDACTED>"
_CLAUDE_INPUTS = ("user_prompt", "new_context", "tool_input", "full_command", "file_path")


def _read_claude_code(draft: SpanDraft) -> None:
    """Read Claude Code's spans: named after their type, content withheld unless asked for, results in an event."""
    kind = draft.span.name.removeprefix("claude_code.")
    draft.type = {"interaction": SpanType.AGENT, "llm_request": SpanType.LLM, "tool": SpanType.TOOL}.get(kind)
    draft.inputs = _shown(draft.first(_CLAUDE_INPUTS))
    draft.outputs = _shown(draft.first(("response.model_output",)))
    for event in draft.events:
        if event.name == "tool.output" and draft.outputs is None:
            draft.outputs = next(filter(None, (_shown(event.attributes.get(k)) for k in _TOOL_OUTPUT)), None)
    if kind == "llm_request" and (count := draft.count(("input_tokens",))) is not None:
        read, written = draft.count(("cache_read_tokens",)) or 0, draft.count(("cache_creation_tokens",)) or 0
        output = draft.count(("output_tokens",)) or 0
        draft.usage = {
            "input_tokens": count + read + written,  # Anthropic counts cached tokens apart
            "output_tokens": output,
            "total_tokens": count + read + written + output,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
        }


_TOOL_OUTPUT = ("output", "content", "diff")


def _shown(value: Any) -> Any:
    return None if value == _REDACTED else value


CLAUDE_CODE = Dialect(roots=frozenset({"claude_code"}), model=("model",), before=_read_claude_code)
