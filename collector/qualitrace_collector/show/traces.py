"""Traces for `qualitrace sample`: from a request's file, and as judges see them with the origin of each part.

A request's traces are converted as the server does, without a server.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.convert import ConvertedTrace, convert_all
from qualitrace_collector.convert.build_sample import TracedSample, is_error, outermost, root_of, trace_sample
from qualitrace_collector.convert.mlflow_span import MODEL, USAGE, AnySpan, StoredSpan
from qualitrace_collector.convert.root import PROMOTED, SESSION_KEYS, USER_KEYS
from qualitrace_collector.convert.span_draft import CALL_TYPES
from qualitrace_collector.convert.spending import SpanUsage, spending
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.piece import Piece, SpanRecord, span_records
from qualitrace_collector.pipeline.redaction import Redaction
from qualitrace_collector.receive.decode import decode_json
from qualitrace_collector.receive.errors import TooLarge, Undecodable
from qualitrace_collector.receive.signals import TRACES
from qualitrace_collector.settings import CollectorConfig

_FIELDS = {"inputs": "mlflow.spanInputs", "outputs": "mlflow.spanOutputs"}
_TOKENS = ("input", "output", "cached", "cache_written", "reasoning")


def traces_in(path: Path, config: CollectorConfig) -> tuple[list[ConvertedTrace], str]:
    """Return the traces of OTLP/JSON requests, redacted and converted, and the message about rejected spans.

    The traces are in the order of their first spans. The message, that of a partial success, is empty if no span was
    rejected.

    Args:
        path: a request as posted to `/v1/traces`, or one such request a line, as file exporters write them; `-` is
            stdin.
        config: has the limit of a request's size and the rules of redaction.

    Raises:
        click.ClickException: the file is not an OTLP/JSON request, or a trace in it cannot be converted.
    """
    request = _request(path, config.listen.max_request_size, config.otlp.limits.items)
    validation = TRACES.check(request, request.ByteSize(), config.otlp.limits)
    if not validation.kept:
        why = validation.message or "no resourceSpans with spans in it"
        raise click.ClickException(f"{path}: holds no span of an OTLP/JSON request: {why}")
    Redaction(config.collector.redact).traces(request)
    converted, failures = convert_all([(piece, service_of(piece)) for piece in _pieces(request)])
    if failures:
        piece, _, error = failures[0]
        raise click.ClickException(f"{path}: trace {mlflow_trace_id(piece)} cannot be converted: {error}")
    return converted, validation.message


def _request(path: Path, limit: int, max_items: int) -> ExportTraceServiceRequest:
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(limit)
        return _decoded(data, max_items)
    except (OSError, TooLarge, Undecodable) as error:
        raise click.ClickException(f"{path}: {error}") from error


def _decoded(data: bytes, max_items: int) -> ExportTraceServiceRequest:
    """Decode one request, or one a line (https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/)."""
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        lines = [data]
    request = ExportTraceServiceRequest()
    for line in lines:
        request.MergeFrom(cast(ExportTraceServiceRequest, decode_json(TRACES, line, max_items).message))
    return request


def _pieces(request: ExportTraceServiceRequest) -> list[Piece]:
    """Group the spans by trace; of several with one id the first counts, as in the server."""
    traces: dict[bytes, dict[bytes, SpanRecord]] = {}
    for record in span_records(request):
        traces.setdefault(record.span.trace_id, {}).setdefault(record.span.span_id, record)
    return [
        Piece(trace_id=trace_id, spans=tuple(spans.values()), logs=(), root_seen=True, positions=frozenset[int]())
        for trace_id, spans in traces.items()
    ]


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


def _tokens(spent: Sequence[SpanUsage]) -> dict[str, int]:
    """Return the sums; cached and reasoning tokens are parts of input and output."""
    sums = {name: int(sum(getattr(item, name) for item in spent)) for name in _TOKENS}
    return {name: count for name, count in sums.items() if count or (spent and name in ("input", "output"))}


Origin = dict[str, str]


def _sources(spans: Sequence[AnySpan], traced: TracedSample, spent: Sequence[SpanUsage]) -> dict[str, Any]:
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
