"""Traces of an OTLP/JSON request in a file, converted as the server does it, without a server."""

from pathlib import Path
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.assemble import Piece, SpanRecord
from qualitrace_collector.config import Config
from qualitrace_collector.convert import ConvertedTrace, convert_all
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.receive.decode import decode_json
from qualitrace_collector.receive.errors import TooLarge, Undecodable
from qualitrace_collector.receive.signals import TRACES
from qualitrace_collector.redaction import Redaction


class RequestFileError(Exception):
    """The file is no OTLP/JSON request, or a trace in it cannot be converted; the message says why."""


def traces_in(path: Path, config: Config) -> list[ConvertedTrace]:
    """Return the traces of an OTLP/JSON request, redacted and converted, in the order of their first spans.

    Args:
        path: what a client would post to `/v1/traces`.
        config: its limit of a request's size and its rules of redaction hold.

    Raises:
        RequestFileError: it cannot be read as one.
    """
    request = _request(path, config.listen.max_request_size)
    verdict = TRACES.check(request)
    if not verdict.kept:
        why = verdict.message or "no resourceSpans with spans in it"
        raise RequestFileError(f"{path}: holds no span of an OTLP/JSON request: {why}")
    Redaction(config.collector.redact).traces(request)
    converted, failures = convert_all([(piece, service_of(piece)) for piece in _pieces(request)])
    if failures:
        piece, _, error = failures[0]
        raise RequestFileError(f"{path}: trace {mlflow_trace_id(piece)} cannot be converted: {error}")
    return converted


def _request(path: Path, limit: int) -> ExportTraceServiceRequest:
    try:
        if path.stat().st_size > limit:
            raise TooLarge(limit)
        return cast(ExportTraceServiceRequest, decode_json(TRACES, path.read_bytes()).message)
    except (OSError, TooLarge, Undecodable) as error:
        raise RequestFileError(f"{path}: {error}") from error


def _pieces(request: ExportTraceServiceRequest) -> list[Piece]:
    """Part the spans by their traces; the first of several with one id counts, as in the server."""
    traces: dict[bytes, dict[bytes, SpanRecord]] = {}
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                spans = traces.setdefault(span.trace_id, {})
                spans.setdefault(span.span_id, SpanRecord(span, group.resource, scope.scope))
    return [
        Piece(trace_id=trace_id, spans=tuple(spans.values()), logs=(), root_seen=True, positions=frozenset[int]())
        for trace_id, spans in traces.items()
    ]
