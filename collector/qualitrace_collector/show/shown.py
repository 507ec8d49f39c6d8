"""A trace as the judges see it, with the span and the field that each part comes from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from qualitrace_collector.convert.build_sample import TracedSample, is_error, outermost, root_of, trace_sample
from qualitrace_collector.convert.mlflow_span import MODEL, USAGE, AnySpan, StoredSpan
from qualitrace_collector.convert.root import PROMOTED, SESSION_KEYS, USER_KEYS
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.convert.spending import Spending, spending

_FIELDS = {"inputs": "mlflow.spanInputs", "outputs": "mlflow.spanOutputs"}
_TOKENS = ("input", "output", "cached", "cache_written", "reasoning")


def shown_sample(
    spans: Sequence[AnySpan], service: str, complete: bool | None, judges: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what `--json` prints of a trace.

    Args:
        spans: all of the trace's.
        service: the service that the trace counts under.
        complete: whether it went to the judges; None if the state database does not know the trace.
        judges: what became of it at each judge.
    """
    traced, spent, root = trace_sample(spans, service), spending(spans), root_of(spans)
    sample = traced.sample
    costs = [item.cost_usd for item in spent if item.cost_usd is not None]
    return {
        "trace_id": spans[0].trace_id,
        "service": service,
        "complete": complete,
        "judges": dict(judges or {}),
        "error": (root.status.description or root.name) if is_error(root) else None,
        "inputs": sample.inputs,
        "outputs": sample.outputs,
        "passages": list(sample.passages),
        "passages_source": sample.passages_source,
        "conversation": [asdict(turn) for turn in sample.conversation],
        "tool_calls": [asdict(call) for call in sample.tool_calls],
        "session": sample.metadata.get("session"),
        "user": sample.metadata.get("user"),
        "model": sample.metadata.get("model") or next((item.model for item in spent if item.model), None),
        "tokens": _tokens(spent),
        "cost_usd": sum(costs) if costs else None,
        "sources": _sources(spans, traced, spent),
    }


def _tokens(spent: Iterable[Spending]) -> dict[str, int]:
    """Return the sums of what was counted; cached and reasoning tokens are parts of the others."""
    items = list(spent)
    sums = {name: int(sum(getattr(item, name) for item in items)) for name in _TOKENS}
    return {name: count for name, count in sums.items() if count or (items and name in ("input", "output"))}


Place = dict[str, str]


def _sources(spans: Sequence[AnySpan], traced: TracedSample, spent: Sequence[Spending]) -> dict[str, Any]:
    by_id = {span.span_id: span for span in spans}
    exchange, sample = traced.exchange, traced.sample
    return {
        "inputs": _content_place(exchange.asked_by, "inputs", by_id),
        "outputs": _content_place(exchange.answered_by, "outputs", by_id),
        "conversation": _content_place(exchange.continued_in, "inputs", by_id) if sample.conversation else None,
        "passages": [_place(passage.span, passage.field) for passage in traced.passages],
        "tool_calls": [_place(span, "inputs, outputs") for span in traced.tools],
        "session": _identity_place(spans, SESSION_KEYS, sample.metadata.get("session")),
        "user": _identity_place(spans, USER_KEYS, sample.metadata.get("user")),
        "model": next((_place(call, MODEL) for call in reversed(outermost(spans, CALL_TYPES))), None),
        "tokens": [_place(by_id[item.span_id], USAGE) for item in spent],
    }


def _place(span: AnySpan, field: str) -> Place:
    return {"span_id": span.span_id, "span": span.name, "field": field}


def _content_place(span: AnySpan | None, field: str, by_id: dict[str, AnySpan]) -> Place | None:
    """Name the span that recorded a content, and the client's own attribute where it was taken over unchanged."""
    if span is None:
        return None
    origin = _origin(span, field, by_id)
    stored = _FIELDS[field]
    content = origin.get_attribute(stored)
    names = (name for name in _attribute_names(origin) if not name.startswith(("mlflow.", "qualitrace.")))
    same = next((name for name in names if content is not None and origin.get_attribute(name) == content), None)
    return _place(origin, same or stored)


def _origin(span: AnySpan, field: str, by_id: dict[str, AnySpan]) -> AnySpan:
    """Follow a content to the span that recorded it; a root that came late shows what an earlier root showed."""
    seen = {span.span_id}
    while (below := by_id.get(str(span.get_attribute(PROMOTED + field) or ""))) and below.span_id not in seen:
        seen.add(below.span_id)
        span = below
    return span


def _attribute_names(span: AnySpan) -> Iterable[str]:
    return span.data["attributes"] if isinstance(span, StoredSpan) else span.attributes


def _identity_place(spans: Sequence[AnySpan], keys: Sequence[str], value: str | None) -> Place | None:
    """Name the span and the attribute that names a session or a user; the root's own is where conversion puts it."""
    if value is None:
        return None
    root = root_of(spans)
    for span in (*(span for span in spans if span is not root), root):
        for key in keys:
            if str(span.get_attribute(key)) == value:
                return _place(span, key)
    return _place(root, f"{keys[0]} (resource)")
