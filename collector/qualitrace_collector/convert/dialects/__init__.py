"""The dialects of GenAI telemetry, and which of them a span speaks.

A dialect is the way in which a family of libraries records its spans. To add one:

1. Write a `Dialect` (see `dialect.py` for its fields): in a module of its own, named after the family, or in
   `frameworks.py` or `platforms.py` if it is little more than a table. Most families need only names: `roots` by which
   their spans are recognised, the names of types, inputs, outputs, model, tokens, costs, session and user.
   What names cannot express goes into its hooks: `before` reads it, `unwrap` turns recorded content into plain values,
   or messages in a form of the family's own into OpenAI's chat form, `after` corrects what was found.
2. Add it to `DIALECTS` below, in front of those whose fields it should override.
3. Add a line with the attributes of a call to each of `CALLS`, `TOOLS` and `RETRIEVERS` that it has in
   tests/collector/convert/test_dialects.py.

Nothing else names dialects: metrics, `qualitrace doctor`, session and user, costs and the names of tools read
`DIALECTS`. Several libraries record the same forms of messages and documents, so these stand apart from the dialects,
in `convert/content/forms.py`: a role or a key that is missing there is one more word.
"""

from collections.abc import Iterable
from functools import lru_cache

from mlflow.entities import SpanType

from qualitrace_collector.convert.cost import StatedCosts
from qualitrace_collector.convert.dialects import frameworks, platforms
from qualitrace_collector.convert.dialects.dialect import Dialect
from qualitrace_collector.convert.dialects.genai import GENAI, GENAI_EVENTS, merge_details
from qualitrace_collector.convert.dialects.openinference import OPENINFERENCE
from qualitrace_collector.convert.dialects.vercel import VERCEL
from qualitrace_collector.convert.span_draft import CALL_TYPES, SpanDraft
from qualitrace_collector.convert.usage import usage_in_response, whole

__all__ = ["DIALECTS", "dialect_of", "read_span"]

# In the order in which they fill a field: the first that finds anything wins.
DIALECTS: tuple[Dialect, ...] = (
    platforms.MLFLOW,
    platforms.LANGSMITH,  # before GENAI: its retrievers are `embeddings` there
    platforms.LITELLM,
    OPENINFERENCE,
    frameworks.CLAUDE_CODE,
    VERCEL,
    platforms.LANGFUSE,
    platforms.LAMINAR,
    frameworks.LIVEKIT,
    frameworks.PYDANTIC_AI,
    GENAI,
    GENAI_EVENTS,
    frameworks.ADK,
    frameworks.AG2,
    platforms.VECTOR_STORES,
    platforms.TRACELOOP,
    platforms.LOGFIRE,
    frameworks.HAYSTACK,
    frameworks.CREWAI,
    frameworks.GENKIT,
    frameworks.MASTRA,
    frameworks.VOLTAGENT,
    frameworks.SPRING,
)

_ROOTS = frozenset[str]().union(*(dialect.all_roots for dialect in DIALECTS))
_SHARED_ROOTS = frozenset[str]().union(*(dialect.shared_roots for dialect in DIALECTS))
_SPAN_PREFIXES = tuple(dialect.span_prefix for dialect in DIALECTS if dialect.span_prefix)
_STATED_COSTS = StatedCosts(
    {
        kind: tuple(name for dialect in DIALECTS for name in dialect.costs.get(kind, ()))
        for kind in ("total_cost", "input_cost", "output_cost")
    }
)


def read_span(draft: SpanDraft) -> None:
    """Fill a draft from its attributes and events, by the dialects that it speaks."""
    merge_details(draft)
    roots = _ROOTS.intersection([_root(key) for key in draft.values])
    if draft.events:
        roots |= _ROOTS.intersection([_root(event.name) for event in draft.events])
    if draft.span.name.startswith(_SPAN_PREFIXES):
        roots |= {_root(draft.span.name)}
    for dialect in _spoken(roots):
        dialect.read(draft)
    draft.genai = bool(roots - _SHARED_ROOTS) or draft.type is not None or draft.inputs is not None
    if draft.values.get("gen_ai.operation.name") == "create_agent":
        draft.genai = False  # nothing is asked or answered; AutoGen makes it a trace of its own
    elif not draft.genai:
        _read_plain_names(draft)
    elif draft.model is None:
        draft.model = _model_inside(draft)
    if draft.genai and not draft.native:
        draft.usage = usage_in_response(draft) if draft.usage is None else draft.usage
        draft.usage = whole(draft.usage) if draft.usage else draft.usage
        draft.cost = _STATED_COSTS.of(draft) if draft.cost is None else draft.cost


def dialect_of(attributes: Iterable[str]) -> str:
    """Name the dialect of a span by the names of its attributes; `none` if it speaks none."""
    return _dialect_name(_ROOTS.intersection(map(_root, attributes)))


@lru_cache(maxsize=1024)
def _dialect_name(roots: frozenset[str]) -> str:
    """Name the dialect with most of these roots; those that no other library uses count first."""
    dialect = max(DIALECTS, key=lambda dialect: (len(dialect.roots & roots), len(dialect.all_roots & roots)))
    return dialect.name if dialect.all_roots & roots else "none"


@lru_cache(maxsize=1024)
def _root(name: str) -> str:
    """Return the first part of an attribute's name: `gen_ai` of `gen_ai.system`, `genkit` of `genkit:input`."""
    return name.partition(".")[0].partition(":")[0]


@lru_cache(maxsize=1024)
def _spoken(roots: frozenset[str]) -> tuple[Dialect, ...]:
    return tuple(dialect for dialect in DIALECTS if dialect.all_roots & roots)


def _model_inside(draft: SpanDraft) -> str | None:
    """Take the model out of a recorded request or response, as MLflow does."""
    for content in (draft.inputs, draft.outputs):
        opened = draft.loads(content)
        if isinstance(opened, dict) and isinstance(model := opened.get("model"), str):
            return model
    return None


def _prefixed(names: str) -> tuple[str, ...]:
    prefixes = ("", "llm.", "ai.", "genai.", "agent.", "chain.", "request.", "response.")
    return tuple(prefix + name for prefix in prefixes for name in names.split())


_INPUTS = _prefixed("prompt messages question input inputs query")
_OUTPUTS = _prefixed("completion answer output outputs response")
_MODELS = _prefixed("model model_name model.name")
_TOKENS = {
    "input_tokens": _prefixed("input_tokens prompt_tokens usage.prompt_tokens"),
    "output_tokens": _prefixed("output_tokens completion_tokens usage.completion_tokens"),
}

# Only spans of language models have these; a query with a response may be any service's.
_OF_MODELS_ALONE = frozenset(_prefixed("prompt messages question completion answer"))


def _read_plain_names(draft: SpanDraft) -> None:
    """Fill the fields of a span of no known dialect if it has content under plain names, or a model with tokens."""
    asked = next((name for name in _INPUTS if draft.first((name,)) is not None), "")
    answered = next((name for name in _OUTPUTS if draft.first((name,)) is not None), "")
    model = draft.text(_MODELS)
    usage = {name: count for name, keys in _TOKENS.items() if (count := draft.count(keys)) is not None}
    has_usage = len(usage) == len(_TOKENS)
    has_content = bool(asked and answered) and (model is not None or not _OF_MODELS_ALONE.isdisjoint((asked, answered)))
    if not has_content and not (model and has_usage):
        return
    draft.genai = True
    draft.inputs, draft.outputs, draft.model = draft.values.get(asked), draft.values.get(answered), model
    if model and not {"tool.name", "tool"} & draft.values.keys():
        draft.type = SpanType.LLM
    if draft.type in CALL_TYPES and has_usage:
        draft.usage = usage | {"total_tokens": sum(usage.values())}
