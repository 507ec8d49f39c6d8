"""The dialects of GenAI telemetry, and which of them a span speaks."""

from collections.abc import Iterable
from functools import lru_cache

from qualitrace_collector.convert.dialects.buckets import usage_in_response
from qualitrace_collector.convert.dialects.costs import stated_cost
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.dialects.frameworks import (
    ADK,
    CLAUDE_CODE,
    CREWAI,
    LAMINAR,
    LANGSMITH,
    LITELLM,
    LIVEKIT,
    MASTRA,
    SPRING,
    VOLTAGENT,
)
from qualitrace_collector.convert.dialects.genai import GENAI
from qualitrace_collector.convert.dialects.genai_events import GENAI_EVENTS, merge_details
from qualitrace_collector.convert.dialects.langfuse import LANGFUSE
from qualitrace_collector.convert.dialects.native import MLFLOW
from qualitrace_collector.convert.dialects.openinference import OPENINFERENCE
from qualitrace_collector.convert.dialects.openllmetry import TRACELOOP, VECTOR_STORES
from qualitrace_collector.convert.dialects.pydantic import LOGFIRE, PYDANTIC_AI
from qualitrace_collector.convert.dialects.replies import GENKIT, HAYSTACK
from qualitrace_collector.convert.dialects.unknown import read_unknown
from qualitrace_collector.convert.dialects.vercel import VERCEL
from qualitrace_collector.convert.span_draft import SpanDraft
from qualitrace_collector.convert.usage import whole

__all__ = ["DIALECTS", "dialect_of", "read_span"]

_NAMED: tuple[tuple[str, Dialect], ...] = (
    ("mlflow", MLFLOW),
    ("langsmith", LANGSMITH),  # before GENAI: calls its retrievers `embeddings` there
    ("litellm", LITELLM),
    ("openinference", OPENINFERENCE),
    ("claude-code", CLAUDE_CODE),
    ("vercel", VERCEL),
    ("langfuse", LANGFUSE),
    ("laminar", LAMINAR),
    ("livekit", LIVEKIT),
    ("pydantic-ai", PYDANTIC_AI),
    ("opentelemetry-genai", GENAI),
    ("opentelemetry-genai", GENAI_EVENTS),
    ("adk", ADK),
    ("openllmetry", VECTOR_STORES),
    ("openllmetry", TRACELOOP),
    ("logfire", LOGFIRE),
    ("haystack", HAYSTACK),
    ("crewai", CREWAI),
    ("genkit", GENKIT),
    ("mastra", MASTRA),
    ("voltagent", VOLTAGENT),
    ("spring-ai", SPRING),
)
"""In the order in which they may fill a field: the first that knows wins."""

DIALECTS = tuple(dialect for _, dialect in _NAMED)

_ROOTS = frozenset[str]().union(*(dialect.roots for dialect in DIALECTS))
_WEAK_ROOTS = frozenset({"events", "agent_name", "input", "output", "llm", "ai", "db", "gcp", "logfire", "spring"})
"""These alone do not make a span one of a GenAI library: other libraries use them too."""


def read_span(draft: SpanDraft) -> None:
    """Fill a draft from its attributes and events, by the dialects that it speaks."""
    merge_details(draft)
    roots = _ROOTS.intersection([_root(key) for key in draft.values])
    if draft.events:
        roots |= _ROOTS.intersection([_root(event.name) for event in draft.events])
    if draft.span.name.startswith("claude_code."):
        roots |= {"claude_code"}
    for dialect in _spoken(roots):
        dialect.read(draft)
    draft.genai = bool(roots - _WEAK_ROOTS) or draft.type is not None or draft.inputs is not None
    if not draft.genai:
        read_unknown(draft)
    elif draft.model is None:
        draft.model = _model_inside(draft)
    if draft.genai and not draft.native:
        _count(draft)


def _count(draft: SpanDraft) -> None:
    if draft.usage is None:
        draft.usage = usage_in_response(draft)
    if draft.usage:
        draft.usage = whole(draft.usage)
    if draft.cost is None:
        draft.cost = stated_cost(draft)


def dialect_of(attributes: Iterable[str]) -> str:
    """Name the dialect of a span by the names of its attributes; `none` if it speaks none."""
    return _dialect_name(_ROOTS.intersection(map(_root, attributes)))


@lru_cache(maxsize=1024)
def _dialect_name(roots: frozenset[str]) -> str:
    """Name the dialect that most of the roots tell, above all those that no other library uses."""
    strong = roots - _WEAK_ROOTS
    name, dialect = max(_NAMED, key=lambda item: (len(item[1].roots & strong), len(item[1].roots & roots)))
    return name if dialect.roots & roots else "none"


def _model_inside(draft: SpanDraft) -> str | None:
    """Take the model out of a recorded request or response, as MLflow does."""
    for content in (draft.inputs, draft.outputs):
        opened = draft.loads(content)
        if isinstance(opened, dict) and isinstance(model := opened.get("model"), str):
            return model
    return None


@lru_cache(maxsize=1024)
def _root(name: str) -> str:
    """Return the first part of an attribute's name: `gen_ai` of `gen_ai.system`, `genkit` of `genkit:input`."""
    return name.partition(".")[0].partition(":")[0]


@lru_cache(maxsize=1024)
def _spoken(roots: frozenset[str]) -> tuple[Dialect, ...]:
    return tuple(dialect for dialect in DIALECTS if dialect.roots & roots)
