"""Reads the traces of an OTLP/JSON request from a file, and converts them as the server does, without a server."""

import sys
from pathlib import Path
from typing import cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.convert import ConvertedTrace, convert_all
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.piece import Piece, SpanRecord, span_records
from qualitrace_collector.pipeline.redaction import Redaction
from qualitrace_collector.receive.decode import decode_json
from qualitrace_collector.receive.errors import TooLarge, Undecodable
from qualitrace_collector.receive.signals import TRACES
from qualitrace_collector.settings import CollectorConfig


class RequestFileError(Exception):
    """The file is not an OTLP/JSON request, or a trace in it cannot be converted; the message gives the reason."""


def traces_in(path: Path, config: CollectorConfig) -> tuple[list[ConvertedTrace], str]:
    """Return the traces of OTLP/JSON requests, redacted and converted, and the message about rejected spans.

    The traces are in the order of their first spans. The message, that of a partial success, is empty if no span was
    rejected.

    Args:
        path: a request as posted to `/v1/traces`, or one such request a line, as file exporters write them; `-` is
            stdin.
        config: has the limit of a request's size and the rules of redaction.

    Raises:
        RequestFileError: it cannot be read.
    """
    request = _request(path, config.listen.max_request_size)
    validation = TRACES.check(request)
    if not validation.kept:
        why = validation.message or "no resourceSpans with spans in it"
        raise RequestFileError(f"{path}: holds no span of an OTLP/JSON request: {why}")
    Redaction(config.collector.redact).traces(request)
    converted, failures = convert_all([(piece, service_of(piece)) for piece in _pieces(request)])
    if failures:
        piece, _, error = failures[0]
        raise RequestFileError(f"{path}: trace {mlflow_trace_id(piece)} cannot be converted: {error}")
    return converted, validation.message


def _request(path: Path, limit: int) -> ExportTraceServiceRequest:
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(limit)
        return _decoded(data)
    except (OSError, TooLarge, Undecodable) as error:
        raise RequestFileError(f"{path}: {error}") from error


def _decoded(data: bytes) -> ExportTraceServiceRequest:
    """Decode one request, or one a line (https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/)."""
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) < 2 or not all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        lines = [data]
    request = ExportTraceServiceRequest()
    for line in lines:
        request.MergeFrom(cast(ExportTraceServiceRequest, decode_json(TRACES, line).message))
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
