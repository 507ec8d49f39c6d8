"""MLflow spans of one trace to the sample that is judged."""

from collections.abc import Sequence

from mlflow.entities import SpanStatusCode, SpanType

from qualitrace_collector.convert.content import answer_text, messages_in, question_text
from qualitrace_collector.convert.passages import LLM_TYPES, dump, find_passages, split_prompt
from qualitrace_collector.convert.root import NO_ANSWER_TYPES
from qualitrace_collector.convert.stored import AnySpan
from qualitrace_collector.samples import Message, Sample, ToolCall

_TOOL_NAMES = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name")
PROMPT_VERSION = "qualitrace.prompt.version"
_METADATA = {"session.id": "session", "gen_ai.conversation.id": "session", "user.id": "user"}


def root_of(spans: Sequence[AnySpan]) -> AnySpan:
    """Return the local root: the earliest span whose parent is not among `spans`."""
    ids = {span.span_id for span in spans}
    tops = [span for span in spans if span.parent_id is None or span.parent_id not in ids]
    return min(tops or spans, key=lambda span: (span.parent_id is not None, span.start_time_ns))


def outermost(spans: Sequence[AnySpan], span_types: Sequence[str]) -> list[AnySpan]:
    """Return the spans of these types that no other of them contains, in order of their start."""
    chosen = [span for span in spans if span.span_type in span_types]
    inside = _inside(chosen, spans, span_types)
    return sorted((span for span in chosen if not inside[span.span_id]), key=lambda span: span.start_time_ns)


def _inside(chosen: Sequence[AnySpan], spans: Sequence[AnySpan], span_types: Sequence[str]) -> dict[str, bool]:
    """Tell of each chosen span, by its id, whether one above it is of these types; each parent is looked at once."""
    by_id = {span.span_id: span for span in spans}
    inside: dict[str, bool] = {}
    for span in chosen:
        path: list[AnySpan] = []
        above: AnySpan | None = span
        while above is not None and above.span_id not in inside:
            inside[above.span_id] = False  # where a client's circle of parents ends
            path.append(above)
            above = by_id.get(above.parent_id or "") if above.parent_id != above.span_id else None
        found = above is not None and (inside[above.span_id] or above.span_type in span_types)
        for below in reversed(path):
            inside[below.span_id] = found
            found = found or below.span_type in span_types
    return inside


def is_error(span: AnySpan) -> bool:
    """Whether a span failed."""
    return span.status.status_code == SpanStatusCode.ERROR


def question_and_answer(spans: Sequence[AnySpan]) -> tuple[str, str]:
    """Return what was asked and what was answered, empty where the trace does not tell.

    They are those of the local root; where it recorded none (an HTTP server's span), those of the first and the
    last model call.
    """
    root, calls = root_of(spans), outermost(spans, LLM_TYPES)
    question = question_text(root.inputs) or next(filter(None, (question_text(c.inputs) for c in calls)), "")
    own_answer = "" if root.span_type in NO_ANSWER_TYPES else answer_text(root.outputs)
    answer = own_answer or next(filter(None, (answer_text(call.outputs) for call in reversed(calls))), "")
    return question, answer


def build_sample(spans: Sequence[AnySpan], service: str) -> Sample:
    """Find question, answer, passages, conversation and tool calls in a complete trace."""
    ordered = sorted(spans, key=lambda span: (span.start_time_ns, span.span_id))
    calls = outermost(ordered, LLM_TYPES)
    question, answer = question_and_answer(ordered)
    passages, source = find_passages(ordered, question)
    return Sample(
        inputs=split_prompt(question)[0],
        outputs=answer,
        passages=passages,
        passages_source=source,
        conversation=_earlier_turns(calls, question),
        tool_calls=tuple(
            ToolCall(name=_tool_name(span), arguments=dump(span.inputs), result=dump(span.outputs))
            for span in outermost(ordered, (SpanType.TOOL,))
        ),
        metadata=_metadata(ordered, calls, service),
    )


def _tool_name(span: AnySpan) -> str:
    return str(next((name for key in _TOOL_NAMES if (name := span.get_attribute(key))), span.name))


def _earlier_turns(calls: Sequence[AnySpan], question: str) -> tuple[Message, ...]:
    turns = messages_in(calls[0].inputs) if calls else []
    earlier = turns[:-1] if turns and turns[-1].content == question else turns
    return tuple(turn for turn in earlier if turn.role in ("user", "assistant") and turn.content.strip())


def _metadata(spans: Sequence[AnySpan], calls: Sequence[AnySpan], service: str) -> dict[str, str]:
    metadata = {"service": service}
    if calls and (model := calls[-1].get_attribute("mlflow.llm.model")):
        metadata["model"] = str(model)
    for span in spans:
        for key, name in (*_METADATA.items(), (PROMPT_VERSION, "prompt_version")):
            if value := span.get_attribute(key):
                metadata.setdefault(name, str(value))
    return metadata
