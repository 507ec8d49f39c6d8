"""The two OTLP signals that are taken, traces and logs: everything in which they differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from qualitrace_collector.journal import SignalName
from qualitrace_collector.receive.settings import ItemLimits
from qualitrace_collector.receive.validation import (
    Place,
    Places,
    Validation,
    add_place_of_logs,
    add_place_of_spans,
    check_logs,
    check_traces,
    places_of_logs,
    places_of_spans,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal: its names, its messages, its rules.

    Attributes:
        name: the last part of the HTTP path, and the journal's name of it.
        service: the full name of the gRPC service.
        items: what the counters, and OTLP's partial success, call its items.
        places: yields the lists of a request that hold its items.
        add_place: adds to a request an empty list, under what a place's items were sent under, and returns it.
        check: takes invalid items out of a request of some size in bytes, and what is beyond the limits.
    """

    name: SignalName
    service: str
    items: str
    request: type[Message]
    response: type[Message]
    places: Callable[[Any], Places]
    add_place: Callable[[Any, Place], Any]
    check: Callable[[Any, int, ItemLimits], Validation]

    def answer(self, validation: Validation, warning: str = "") -> Message:
        """Return the answer to a request; a partial success if items were rejected or the client should fix something.

        Args:
            warning: what the client should fix although nothing was rejected for it.
        """
        answer: Any = self.response()
        if validation.rejected:
            setattr(answer.partial_success, f"rejected_{self.items}", validation.rejected.total())
        if message := "; ".join(filter(None, (validation.message, warning))):
            answer.partial_success.error_message = message
        return answer


TRACES = Signal(
    name="traces",
    service="opentelemetry.proto.collector.trace.v1.TraceService",
    items="spans",
    request=ExportTraceServiceRequest,
    response=ExportTraceServiceResponse,
    places=places_of_spans,
    add_place=add_place_of_spans,
    check=check_traces,
)
LOGS = Signal(
    name="logs",
    service="opentelemetry.proto.collector.logs.v1.LogsService",
    items="log_records",
    request=ExportLogsServiceRequest,
    response=ExportLogsServiceResponse,
    places=places_of_logs,
    add_place=add_place_of_logs,
    check=check_logs,
)
SIGNALS = (TRACES, LOGS)
