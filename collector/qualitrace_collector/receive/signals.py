"""The two OTLP signals that are taken, side by side: all that differs between them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from qualitrace_collector.journal import SignalName
from qualitrace_collector.receive.validate import Verdict, check_logs, check_traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal: its names, its messages, its rules.

    Attributes:
        name: the last part of the HTTP path, and the journal's name of it.
        service: the full name of the gRPC service.
        items: what the counters call its items.
        lists: the repeated fields of a request that hold its items.
        check: takes invalid items out of a request.
        response: makes the answer; a partial success if the verdict has rejections, else an empty one.
    """

    name: SignalName
    service: str
    items: str
    request: type[Message]
    lists: Callable[[Any], Iterator[Any]]
    check: Callable[[Any], Verdict]
    response: Callable[[Verdict], Message]


def _span_lists(request: ExportTraceServiceRequest) -> Iterator[Any]:
    return (scope.spans for resource in request.resource_spans for scope in resource.scope_spans)


def _log_record_lists(request: ExportLogsServiceRequest) -> Iterator[Any]:
    return (scope.log_records for resource in request.resource_logs for scope in resource.scope_logs)


def _traces_response(verdict: Verdict) -> Message:
    if not verdict.rejected:
        return ExportTraceServiceResponse()
    partial = ExportTracePartialSuccess(rejected_spans=verdict.rejected.total(), error_message=verdict.message)
    return ExportTraceServiceResponse(partial_success=partial)


def _logs_response(verdict: Verdict) -> Message:
    if not verdict.rejected:
        return ExportLogsServiceResponse()
    partial = ExportLogsPartialSuccess(rejected_log_records=verdict.rejected.total(), error_message=verdict.message)
    return ExportLogsServiceResponse(partial_success=partial)


TRACES = Signal(
    name="traces",
    service="opentelemetry.proto.collector.trace.v1.TraceService",
    items="spans",
    request=ExportTraceServiceRequest,
    lists=_span_lists,
    check=check_traces,
    response=_traces_response,
)
LOGS = Signal(
    name="logs",
    service="opentelemetry.proto.collector.logs.v1.LogsService",
    items="log_records",
    request=ExportLogsServiceRequest,
    lists=_log_record_lists,
    check=check_logs,
    response=_logs_response,
)
SIGNALS = (TRACES, LOGS)
