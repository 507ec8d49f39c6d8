"""Finds what a stored trace lacks, and whose telemetry should have brought it: why scores are missing.

Judges look at question, answer and retrieved documents; tokens make the metrics of use and cost; a session joins the
turns of a conversation. Each is looked for in the trace as judges see it, whatever the dialect: content that a library
hides (`__REDACTED__`) is lacking although its attribute is there.
"""

import logging
from collections.abc import Iterable
from typing import Any

from mlflow.entities import SpanType

from qualitrace_collector.convert.build_sample import is_error, read_exchange
from qualitrace_collector.convert.content.opening import MAX_DEPTH, is_blank
from qualitrace_collector.convert.content.passages import texts_of
from qualitrace_collector.convert.dialects import dialect_of
from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.root import NO_ANSWER_TYPES
from qualitrace_collector.names import clean
from qualitrace_collector.piece import Piece
from qualitrace_collector.pipeline.batch import StoredTrace
from qualitrace_collector.state.coverage import Content, Coverage, Source

_log = logging.getLogger(__name__)

_SESSION_NAMES = ("session.id", "gen_ai.conversation.id")

# OpenInference writes the second in place of content that it hides (openinference.instrumentation.config).
_HIDDEN = {"", "__REDACTED__"}


def coverage_of(trace: StoredTrace, piece: Piece) -> Coverage:
    """Return for each content that the trace should have whether it is there.

    Tokens apply to traces with a model call, documents to those with a retriever, an output to all but those whose
    root only retrieves; neither output nor tokens to traces that failed.

    Args:
        piece: what came of the trace now.
    """
    try:
        return _coverage(trace, piece)
    except Exception:  # a client's odd content must not stop a trace that is stored already
        _log.exception("the content of trace %s cannot be read", trace.trace_id)
        return {}


def _coverage(trace: StoredTrace, piece: Piece) -> Coverage:
    spans, root, calls = trace.spans, trace.root, trace.calls
    retrievers = [span for span in spans if span.span_type == SpanType.RETRIEVER]
    exchange = read_exchange(spans)
    source = _source(trace.service, piece, calls[0] if calls else root)
    found: dict[tuple[Source, Content], bool] = {
        (source, "input"): _shows(exchange.question, (root.inputs, *(call.inputs for call in calls))),
        (source, "session"): any(span.get_attribute(name) for span in spans for name in _SESSION_NAMES),
    }
    failed = is_error(root) and not exchange.answer  # then there was no output to record
    if not failed and (calls or root.span_type not in NO_ANSWER_TYPES):
        found[source, "output"] = _shows(exchange.answer, (root.outputs, *(call.outputs for call in calls)))
    if calls and not failed:
        found[source, "tokens"] = any(item.input or item.output for item in trace.spending if not item.embedding)
    if retrievers:
        found[_source(trace.service, piece, retrievers[0]), "documents"] = any(map(_has_documents, retrievers))
    return found


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


def _source(service: str, piece: Piece, span: AnySpan) -> Source:
    """Return the telemetry that recorded a span."""
    records, span_id = piece.spans, bytes.fromhex(span.span_id)
    if not records:  # nothing but log records came now
        return Source(service, "", "none")
    # A span that was stored earlier has lost its scope: the first span that came now stands in for it.
    record = next((record for record in records if record.span.span_id == span_id), records[0])
    dialect = dialect_of(attribute.key for attribute in record.span.attributes)
    return Source(service, clean(record.scope.name) if record.scope.name else "", dialect)
