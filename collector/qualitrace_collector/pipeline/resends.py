"""A stored span is never overwritten by another: MLflow would let a later one with the same ids take its place.

OTLP sends a span once, when it has ended, so a second one is a resend (the same again) or a mistake or an
attack (different). Neither is written; only the different ones are counted.
"""

import logging
from collections.abc import Sequence

from mlflow.entities import Span

from qualitrace_collector.convert import ConvertedTrace

_log = logging.getLogger(__name__)

_ADDED_PREFIXES = ("mlflow.", "qualitrace.")
_ADDED_TO_ROOTS = frozenset({"session.id", "user.id"})


def without_stored(trace: ConvertedTrace, stored: Sequence[Span]) -> tuple[ConvertedTrace, int]:
    """Take those spans out of a trace of which one with the same id is stored.

    Returns:
        The rest of the trace, and how many of the spans taken out differ from the stored ones.
    """
    if not stored:
        return trace, 0
    earlier = {span.span_id: span for span in stored if span.span_id not in trace.renewed}
    sent = {record.span.span_id.hex(): {item.key for item in record.span.attributes} for record in trace.piece.spans}
    conflicts = sum(
        _differ(span, earlier[span.span_id], sent[span.span_id]) for span in trace.spans if span.span_id in earlier
    )
    return trace.without(earlier), conflicts


def log_conflicts(trace_id: str, count: int) -> None:
    """Say once for a piece of a trace that spans were left out."""
    _log.warning(
        "trace %s: %d spans left out, because different ones with their ids came first; "
        "the client uses span ids twice, or resends spans that it has changed",
        trace_id,
        count,
    )


def _differ(new: Span, old: Span, sent: set[str]) -> bool:
    """Compare what the client sent; what conversion adds depends on the spans that came in the same batch."""
    kept = {key for key in old.attributes if not key.startswith(_ADDED_PREFIXES) and key not in _ADDED_TO_ROOTS}
    return _frame(new) != _frame(old) or any(new.attributes.get(key) != old.attributes.get(key) for key in sent | kept)


def _frame(span: Span) -> tuple[object, ...]:
    return span.name, span.parent_id, span.start_time_ns, span.end_time_ns
