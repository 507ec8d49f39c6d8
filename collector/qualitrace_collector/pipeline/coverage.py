"""Finds what a stored trace lacks, and whose telemetry should have brought it: why scores are missing.

Judges look at question, answer and retrieved documents; tokens make the metrics of use and cost; a session joins the
turns of a conversation. Each is looked for in the trace as judges see it, whatever the dialect: content that a library
hides (`__REDACTED__`) is lacking although its attribute is there.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.build_sample import Exchange, is_error, read_exchange
from qualitrace_collector.convert.content.messages import messages_in
from qualitrace_collector.convert.content.opening import MAX_DEPTH, as_sent, is_blank
from qualitrace_collector.convert.content.passages import texts_of
from qualitrace_collector.convert.content.prompt import split_prompt
from qualitrace_collector.convert.content.tool_calls import goes_on_from_tool, tools_asked_for
from qualitrace_collector.convert.dialects import dialect_of
from qualitrace_collector.convert.mlflow_span import AnySpan, json_text
from qualitrace_collector.convert.root import NO_ANSWER_TYPES
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.names import clean
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline.runs import BareCall, RecentCalls
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.state.coverage import Content, Coverage, Source

_log = logging.getLogger(__name__)

_SESSION_NAMES = ("session.id", "gen_ai.conversation.id")

# The resource's attribute that names the SDK's distribution, and qualitrace's.
_DISTRO, OURS = "telemetry.distro.name", "qualitrace"

# Characters of a prompt, as JSON, with passages: a role, an instruction, a few sentences.
MIN_PROMPT = 300
# Turns of a prompt that are looked at, the newest. This bounds the time.
MAX_TURNS = 4

# Other spans that fetch passages.
_FETCHING = frozenset({SpanType.RERANKER, SpanType.TOOL})

# OpenInference writes the second in place of content that it hides (openinference.instrumentation.config).
_HIDDEN = {"", "__REDACTED__"}


def coverage_of(trace: StoredTrace, piece: Piece, recent: RecentCalls) -> Coverage:
    """Return for each content that the trace should have whether it is there.

    Tokens apply to traces with a model call, documents to those with a retriever, an output to all but those whose
    root only retrieves; neither output nor tokens to traces that failed. A retriever applies to traces with passages,
    tools and a run to those in which a model asks for tools or is given their results.

    Args:
        piece: what came of the trace now.
        recent: the calls that came as traces of their own.
    """
    try:
        exchange = read_exchange(trace.spans)
        return _contents(trace, piece, exchange) | _spans_around(trace, piece, exchange, recent)
    except Exception:  # a client's odd content must not stop a trace that is stored already
        _log.exception("the content of trace %s cannot be read", trace.trace_id)
        return {}


def _contents(trace: StoredTrace, piece: Piece, exchange: Exchange) -> dict[tuple[Source, Content], bool]:
    spans, root, calls = trace.spans, trace.root, trace.calls
    retrievers = [span for span in spans if span.span_type == SpanType.RETRIEVER]
    source = _source(trace, piece, calls[0] if calls else root)
    shows_input = _shows(exchange.question, (root.inputs, *(call.inputs for call in calls)))
    found: dict[tuple[Source, Content], bool] = {
        (source, "input"): shows_input or (not calls and _is_recorded(spans, "input.value")),
        (source, "session"): bool(_session(spans)),
    }
    failed = is_error(root) and not exchange.answer  # then there was no output to record
    if not failed and (calls or root.span_type not in NO_ANSWER_TYPES):
        shows_output = _shows(exchange.answer, (root.outputs, *(call.outputs for call in calls)))
        found[source, "output"] = shows_output or (not calls and _is_recorded(spans, "output.value"))
    if calls and not failed:
        found[source, "tokens"] = any(item.input or item.output for item in trace.spending if not item.embedding)
    if retrievers:
        found[_source(trace, piece, retrievers[0]), "documents"] = any(map(_has_documents, retrievers))
    return found


def _spans_around(
    trace: StoredTrace, piece: Piece, exchange: Exchange, recent: RecentCalls
) -> dict[tuple[Source, Content], bool]:
    """Return whether the spans are there in which a model's calls usually stand: their libraries may not be traced."""
    spans, root, calls = trace.spans, trace.root, trace.calls
    if not calls:
        return {}
    types = {span.span_type for span in spans}
    source = _source(trace, piece, calls[0])
    is_bare = root.span_type in CALL_TYPES and not root.parent_id
    found: dict[tuple[Source, Content], bool] = {}
    if any(_uses_tools(call) for call in calls):
        found[source, "tools"] = SpanType.TOOL in types
        found[source, "run"] = not is_bare
    elif is_bare and recent.goes_on(trace.tenant, trace.service, _bare(trace, exchange.answer)):
        found[source, "run"] = False
    if SpanType.RETRIEVER in types:
        found[source, "retriever"] = True
    elif types.isdisjoint(_FETCHING) and _carries_passages(calls[-1]):
        found[source, "retriever"] = False
    return found


def _uses_tools(call: AnySpan) -> bool:
    written = json_text(call, "mlflow.spanOutputs") or ""  # most have neither word, and are not walked through
    asks = ("tool" in written or "function" in written) and tools_asked_for(call.outputs)
    return bool(asks) or goes_on_from_tool(call.inputs)


def _bare(trace: StoredTrace, answer: str) -> BareCall:
    root = trace.root
    end = root.end_time_ns or root.start_time_ns
    return BareCall(trace.trace_id, root.start_time_ns, end, _session(trace.spans), root.inputs, answer)


def _carries_passages(call: AnySpan) -> bool:
    """Whether a prompt has material that is marked as such. A tool's result is none: its span is looked for apart."""
    if len(json_text(call, "mlflow.spanInputs") or "") < MIN_PROMPT:
        return False
    turns = messages_in(call.inputs)
    if not turns:
        return bool(split_prompt(as_sent(call.inputs))[1])
    said = [turn for turn in turns if turn.role in ("system", "user")][-MAX_TURNS:]
    return any(split_prompt(turn.content, "system" if turn.role == "system" else "user")[1] for turn in said)


def _session(spans: Sequence[AnySpan]) -> str:
    values = (span.get_attribute(name) for span in spans for name in _SESSION_NAMES)
    return next((str(value) for value in values if value), "")


def _is_recorded(spans: Sequence[AnySpan], name: str) -> bool:
    """Whether a step without arguments, or that returned nothing, says so: its content is captured."""
    texts = (json_text(span, name) for span in spans)
    return any(text is not None and text.strip('"') not in _HIDDEN for text in texts)


def _shows(text: str, recorded: Iterable[Any]) -> bool:
    """Return whether there is text to judge, or any other content, such as a picture or a tool call."""
    if text.strip():
        return text not in _HIDDEN
    return any(not (isinstance(value, str) and value in _HIDDEN) and _holds_something(value) for value in recorded)


# Keys of messages and responses that are there without any content.
_FRAME = frozenset("role type id index finish_reason model object created status usage".split())


def _holds_something(value: Any, depth: int = 0) -> bool:
    """Return whether a message or response holds anything: words, a tool call, a picture."""
    if isinstance(value, dict):
        return any(key not in _FRAME and _holds_something(item, depth + 1) for key, item in value.items())
    if isinstance(value, list):
        return depth < MAX_DEPTH and any(_holds_something(item, depth + 1) for item in value)
    return not is_blank(value)


def _has_documents(retriever: AnySpan) -> bool:
    """Return whether the texts of the retrieved documents are there, or nothing was found."""
    outputs = retriever.outputs
    if isinstance(outputs, list) and not outputs:
        return True
    return any(text.strip() not in _HIDDEN for text in texts_of(outputs))


def _source(trace: StoredTrace, piece: Piece, span: AnySpan) -> Source:
    """Return the telemetry that recorded a span."""
    records, span_id = piece.spans, bytes.fromhex(span.span_id)
    if not records:  # nothing but log records came now
        return Source(trace.service, "", "none", tenant=trace.tenant)
    # A span that was stored earlier has lost its scope: the first span that came now stands in for it.
    record = next((record for record in records if record.span.span_id == span_id), records[0])
    dialect = dialect_of(attribute.key for attribute in record.span.attributes)
    scope = clean(record.scope.name) if record.scope.name else ""
    # Beside another TracerProvider the resource is not ours, but the spans of `@trace` are.
    is_ours = any(item.key == _DISTRO and item.value.string_value == OURS for item in record.resource.attributes)
    is_ours = is_ours or any(item.scope.name == OURS for item in records)
    return Source(trace.service, scope, dialect, OURS if is_ours else "", trace.tenant)
