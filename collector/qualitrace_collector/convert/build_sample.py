"""Builds the sample that judges see from the MLflow spans of one trace.

Question and answer are the local root's. If it recorded none, as an HTTP server's span does, or only material for an
answer, they are those of the model calls below it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mlflow.entities import SpanStatusCode, SpanType

from qualitrace_collector.convert.called_tools import called_tools
from qualitrace_collector.convert.content.answer import answer_text, is_material
from qualitrace_collector.convert.content.messages import messages_in
from qualitrace_collector.convert.content.opening import as_sent, opened
from qualitrace_collector.convert.content.passages import Passage, find_passages
from qualitrace_collector.convert.content.prompt import split_prompt
from qualitrace_collector.convert.content.question import Asked, asked, spoken_turns
from qualitrace_collector.convert.judged_request import judged_request, roots_of
from qualitrace_collector.convert.mlflow_span import MODEL, AnySpan, json_text
from qualitrace_collector.convert.prompts import prompt_of
from qualitrace_collector.convert.root import NO_ANSWER_TYPES
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.sample import METADATA, ROOT_METADATA, Message, Sample

# Types of spans whose messages hold what was said; messages of others may hold a chain's values as JSON (LangChain).
_SPEAKING_TYPES = (*CALL_TYPES, SpanType.AGENT)

MAX_METADATA = 200
"""Characters of a text of a sample's metadata. Each is kept with every score."""


def root_of(spans: Sequence[AnySpan]) -> AnySpan:
    """Return the first local root, see `local_roots`."""
    return roots_of(spans)[0]


def outermost(spans: Sequence[AnySpan], span_types: Sequence[str]) -> list[AnySpan]:
    """Return the spans of these types that no other of them contains, in order of their start."""
    chosen = [span for span in spans if span.span_type in span_types]
    inside = _inside(chosen, spans, span_types)
    return sorted((span for span in chosen if not inside[span.span_id]), key=lambda span: span.start_time_ns)


def _inside(chosen: Sequence[AnySpan], spans: Sequence[AnySpan], span_types: Sequence[str]) -> dict[str, bool]:
    """Return for each chosen span, by its id, whether a span above it is of these types."""
    by_id = {span.span_id: span for span in spans}
    inside: dict[str, bool] = {}
    for span in chosen:
        # Each parent is visited once for all spans, so that deep traces of many calls take linear time.
        path: list[AnySpan] = []
        above: AnySpan | None = span
        while above is not None and above.span_id not in inside:
            inside[above.span_id] = False  # ends a circle of parents
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


class Exchange(NamedTuple):
    """Question and answer, each empty if the trace does not show it, and the turns before the question.

    Attributes:
        asked_by, answered_by, continued_in: the spans that recorded question, answer and earlier turns.
    """

    question: str
    answer: str
    earlier: tuple[Message, ...] = ()
    asked_by: AnySpan | None = None
    answered_by: AnySpan | None = None
    continued_in: AnySpan | None = None


def question_and_answer(spans: Sequence[AnySpan]) -> tuple[str, str]:
    """Return what was asked and what was answered, each empty if the trace does not show it."""
    exchange = read_exchange(spans)
    return exchange.question, exchange.answer


def read_exchange(spans: Sequence[AnySpan]) -> Exchange:
    """Read question and answer of the local root; if it recorded none, those of the first and the last model call.

    Of several requests in a trace they are those of the one that is judged, see `judged_request`.
    """
    root, judged = judged_request(spans, is_answered)
    return _exchange_of(root, outermost(judged, CALL_TYPES))


def is_answered(root: AnySpan, spans: Sequence[AnySpan]) -> bool:
    """Whether a root, or a model call among the spans below it, shows an answer."""
    return bool(_exchange_of(root, outermost(spans, CALL_TYPES)).answer)


def _exchange_of(root: AnySpan, calls: Sequence[AnySpan]) -> Exchange:
    found, asked_by = _question(root, calls)
    answer, answered_by = _answer(root, calls, found.question)
    earlier, continued_in = _earlier(root, calls, found, asked_by)
    return Exchange(found.question, answer, earlier, asked_by, answered_by, continued_in)


def _question(root: AnySpan, calls: Sequence[AnySpan]) -> tuple[Asked, AnySpan | None]:
    for span in (root, *calls):
        found = _asked_by(span, calls)
        if found.question.strip():
            return found, span
    return Asked(""), None


def _asked_by(span: AnySpan, calls: Sequence[AnySpan]) -> Asked:
    """Read a span's question. A framework's message may hold its arguments as JSON; a user's message does not."""
    found = asked(span.inputs, of_model=span.span_type in CALL_TYPES)
    inner = opened(found.question) if found.question[:1] in ("{", "[") else None
    if span.span_type in _SPEAKING_TYPES or not isinstance(inner, (dict, list)):
        return found
    if any(found.question == asked(call.inputs).question for call in calls):
        return found
    again = asked(inner)
    return again if again.question and again.question != as_sent(inner) else found


def _answer(root: AnySpan, calls: Sequence[AnySpan], question: str) -> tuple[str, AnySpan | None]:
    """Return the root's answer, or the last call's if the root only repeats the question or holds material."""
    last_first = list(reversed(calls))
    own = "" if root.span_type in NO_ANSWER_TYPES else _answered_by(root, last_first)
    if own and own != question and not is_material(root.outputs, root.inputs):
        return own, root
    for call in last_first:
        if text := _model_answer(call):
            return text, call
    return own, root if own else None


def _model_answer(call: AnySpan) -> str:
    return _sent(call, answer_text(call.outputs, from_model=True))


def _sent(span: AnySpan, text: str) -> str:
    """Return the text, or the client's own spelling of it if it is JSON."""
    if not isinstance(span.outputs, (dict, list)) or text != as_sent(span.outputs):
        return text
    return json_text(span, "mlflow.spanOutputs") or text


def _answered_by(root: AnySpan, calls: Sequence[AnySpan]) -> str:
    if root.span_type in CALL_TYPES:
        return _model_answer(root)
    if (said := _repeated_whole(root, calls)) is not None:
        return said
    text = answer_text(root.outputs, root.inputs)
    inner = opened(text) if text[:1] in ("{", "[") and root.span_type not in _SPEAKING_TYPES else text
    if isinstance(inner, str) or messages_in(root.outputs) == [] or any(text == _model_answer(call) for call in calls):
        return _sent(root, text)
    return answer_text(inner, root.inputs)  # a framework's message with its outputs as JSON


def _repeated_whole(root: AnySpan, calls: Sequence[AnySpan]) -> str | None:
    """Return a model's JSON text that the root returned without parsing it; None if it did not."""
    # MLflow stores JSON text and its value alike, so the root's mime type decides (OpenInference).
    if not isinstance(root.outputs, (dict, list)) or root.get_attribute("output.mime_type") == "application/json":
        return None
    for call in calls:
        said = _model_answer(call)
        if said[:1] in ("{", "[") and opened(said) == root.outputs:
            return said
    return None


def _earlier(
    root: AnySpan, calls: Sequence[AnySpan], found: Asked, asked_by: AnySpan | None
) -> tuple[tuple[Message, ...], AnySpan | None]:
    """Return the turns before the question, and the span that shows them."""
    if found.earlier:
        return found.earlier, asked_by
    # A graph with a checkpointer is given only the new turn, and returns the whole thread.
    shown = [(call, call.inputs) for call in calls[:1]]
    shown += [(root, root.outputs)] if root.span_type not in CALL_TYPES else []
    for span, value in shown:
        if turns := _turns_before(value, found.question):
            return turns, span
    return (), None


def _turns_before(value: Any, question: str) -> tuple[Message, ...]:
    """Return the turns of a conversation before its newest question, none if that is another one."""
    turns = spoken_turns(messages_in(value))
    newest = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    asks_now = newest >= 0 and (question in turns[newest].content or turns[newest].content in question)
    return turns[:newest] if asks_now else ()


class TracedSample(NamedTuple):
    """A sample, and the spans and fields that its parts come from."""

    sample: Sample
    exchange: Exchange
    passages: tuple[Passage, ...]
    tools: Sequence[AnySpan]


def build_sample(spans: Sequence[AnySpan], service: str) -> Sample:
    """Find question, answer, passages, conversation and tool calls in a complete trace."""
    return trace_sample(spans, service).sample


def trace_sample(spans: Sequence[AnySpan], service: str) -> TracedSample:
    """Build the sample of a complete trace, with the sources of its parts."""
    ordered = sorted(spans, key=lambda span: (span.start_time_ns, span.span_id))
    root, judged = judged_request(ordered, is_answered)
    tools, calls = outermost(judged, (SpanType.TOOL,)), outermost(judged, CALL_TYPES)
    exchange = _exchange_of(root, calls)
    passages, source = find_passages(judged, exchange.question)
    sample = Sample(
        inputs=split_prompt(exchange.question)[0],  # without the material that a prompt carries
        outputs=exchange.answer.strip(),
        passages=tuple(passage.text for passage in passages),
        passages_source=source,
        conversation=exchange.earlier,
        tool_calls=called_tools(tools, calls),
        metadata=metadata_of(root, judged, calls, service),
    )
    return TracedSample(sample, exchange, passages, tools)


def metadata_of(root: AnySpan, spans: Sequence[AnySpan], calls: Sequence[AnySpan], service: str) -> dict[str, str]:
    """Return where an answer comes from: service, model, release …; see `Sample`.

    Args:
        root: of the request that is judged.
        spans: that its answer may come from, in order of their start.
        calls: the outermost model calls among them, in that order.
    """
    metadata: dict[str, str] = {}
    for key, name in ROOT_METADATA.items():
        if value := root.get_attribute(key):
            metadata.setdefault(name, str(value))
    metadata.setdefault("route", root.name)
    metadata["seconds"] = f"{(root.end_time_ns - root.start_time_ns) / 1e9:.3f}" if root.end_time_ns else ""
    if retrievers := outermost(spans, (SpanType.RETRIEVER,)):
        metadata["retriever"] = retrievers[0].name
    if calls and (model := calls[-1].get_attribute(MODEL)):
        metadata["model"] = str(model)
    for span in spans:
        for key, name in METADATA.items():
            if value := span.get_attribute(key):
                metadata.setdefault(name, str(value))
    if "prompt_version" not in metadata:
        # The last call's, as with the model: it made the answer.
        prompts = (prompt_of(span.get_attribute) for span in (*reversed(calls), *spans))
        if prompt := next(filter(None, prompts), None):
            metadata["prompt_version"] = prompt.label
    return {"service": service} | {name: text[:MAX_METADATA] for name, text in metadata.items() if text}
