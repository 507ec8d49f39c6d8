"""Describes a trace as judges see it, with the span and the field that each part comes from."""

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


def sample_with_sources(
    spans: Sequence[AnySpan], service: str, complete: bool | None, judges: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what `--json` prints for a trace.

    Args:
        spans: all spans of the trace.
        service: the service that the trace counts under.
        complete: whether it went to the judges; None if the state database does not know the trace.
        judges: its status by judge.
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
    """Return the sums; cached and reasoning tokens are parts of input and output."""
    items = list(spent)
    sums = {name: int(sum(getattr(item, name) for item in items)) for name in _TOKENS}
    return {name: count for name, count in sums.items() if count or (items and name in ("input", "output"))}


Origin = dict[str, str]


def _sources(spans: Sequence[AnySpan], traced: TracedSample, spent: Sequence[Spending]) -> dict[str, Any]:
    by_id = {span.span_id: span for span in spans}
    exchange, sample = traced.exchange, traced.sample
    return {
        "inputs": _content_origin(exchange.asked_by, "inputs", by_id),
        "outputs": _content_origin(exchange.answered_by, "outputs", by_id),
        "conversation": _content_origin(exchange.continued_in, "inputs", by_id) if sample.conversation else None,
        "passages": [_origin_in(passage.span, passage.field) for passage in traced.passages],
        "tool_calls": [_origin_in(span, "inputs, outputs") for span in traced.tools],
        "session": _identity_origin(spans, SESSION_KEYS, sample.metadata.get("session")),
        "user": _identity_origin(spans, USER_KEYS, sample.metadata.get("user")),
        "model": next((_origin_in(call, MODEL) for call in reversed(outermost(spans, CALL_TYPES))), None),
        "tokens": [_origin_in(by_id[item.span_id], USAGE) for item in spent],
    }


def _origin_in(span: AnySpan, field: str) -> Origin:
    return {"span_id": span.span_id, "span": span.name, "field": field}


def _content_origin(span: AnySpan | None, field: str, by_id: dict[str, AnySpan]) -> Origin | None:
    """Return the span that recorded a content, and the client's own attribute if it has the same content."""
    if span is None:
        return None
    recorder = _recorded_by(span, field, by_id)
    stored = _FIELDS[field]
    content = recorder.get_attribute(stored)
    names = (name for name in _attribute_names(recorder) if not name.startswith(("mlflow.", "qualitrace.")))
    same = next((name for name in names if content is not None and recorder.get_attribute(name) == content), None)
    return _origin_in(recorder, same or stored)


def _recorded_by(span: AnySpan, field: str, by_id: dict[str, AnySpan]) -> AnySpan:
    """Follow a content to the span that recorded it."""
    # A root that came late shows what an earlier root showed, so there may be several steps.
    seen = {span.span_id}
    while (below := by_id.get(str(span.get_attribute(PROMOTED + field) or ""))) and below.span_id not in seen:
        seen.add(below.span_id)
        span = below
    return span


def _attribute_names(span: AnySpan) -> Iterable[str]:
    return span.data["attributes"] if isinstance(span, StoredSpan) else span.attributes


def _identity_origin(spans: Sequence[AnySpan], keys: Sequence[str], value: str | None) -> Origin | None:
    """Return the span and the attribute that name a session or a user."""
    if value is None:
        return None
    root = root_of(spans)
    # The root last: conversion writes there what it found on other spans.
    for span in (*(span for span in spans if span is not root), root):
        for key in keys:
            if str(span.get_attribute(key)) == value:
                return _origin_in(span, key)
    return _origin_in(root, f"{keys[0]} (resource)")
