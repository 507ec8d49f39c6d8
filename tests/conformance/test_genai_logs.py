"""/v1/logs: the records of GenAI instrumentations are kept, the others are reported and counted."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from support.otlp import attributes
from support.receiving import Receiver
from support.waiting import eventually

IDS: dict[str, Any] = {"trace_id": b"t" * 16, "span_id": b"s" * 8}
MESSAGE = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="content", value=AnyValue(string_value="Hi"))]))
DETAILS = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": "[]"}

# One of each shape that instrumentations are known to send: (scope, records).
KEPT = {
    "an event for each message": (
        "opentelemetry.instrumentation.openai_v2",
        [
            LogRecord(**IDS, event_name="gen_ai.user.message", body=MESSAGE),
            LogRecord(**IDS, event_name="gen_ai.choice", body=MESSAGE, attributes=attributes({"gen_ai.system": "x"})),
        ],
    ),
    "the event's name as an attribute": (
        "some.instrumentation",
        [LogRecord(**IDS, body=MESSAGE, attributes=attributes({"event.name": "gen_ai.user.message"}))],
    ),
    "an event with all details": (
        "opentelemetry.instrumentation.genai.openai",
        [LogRecord(**IDS, event_name="gen_ai.client.inference.operation.details", attributes=attributes(DETAILS))],
    ),
    "a GenAI attribute without an event": ("x", [LogRecord(**IDS, attributes=attributes(DETAILS))]),
    "a GenAI scope alone": ("openinference.instrumentation.openai", [LogRecord(**IDS, body=MESSAGE)]),
}
REJECTED = {
    "trace_id": LogRecord(span_id=IDS["span_id"], event_name="gen_ai.choice"),
    "span_id": LogRecord(trace_id=IDS["trace_id"], event_name="gen_ai.choice"),
    "not_genai": LogRecord(**IDS, body=AnyValue(string_value="order 7 placed"), event_name="order.placed"),
}


def wrap(scope: str, records: list[LogRecord]) -> ExportLogsServiceRequest:
    """Wrap records of one scope as an exporter does."""
    message = ExportLogsServiceRequest()
    message.resource_logs.add().scope_logs.add(log_records=records).scope.name = scope
    return message


@pytest.fixture
def send(receiver: Receiver, post: Callable[..., httpx.Response], encoding: Any) -> Callable[..., Any]:
    """Post log records in the encoding; gives the answer."""

    def send_logs(message: ExportLogsServiceRequest) -> Any:
        answer = post(receiver, encoding.write(message), encoding.content_type, "/v1/logs")
        assert answer.status_code == 200
        return encoding.read(answer, ExportLogsServiceResponse)

    return send_logs


@pytest.mark.parametrize("shape", KEPT)
def test_logs_of_genai_instrumentations_are_kept(receiver: Receiver, send: Callable[..., Any], shape: str) -> None:
    """Each shape of GenAI log record is journalled unchanged, under a full success."""
    message = wrap(*KEPT[shape])
    assert send(message) == ExportLogsServiceResponse()
    assert [ExportLogsServiceRequest.FromString(payload) for payload in receiver.payloads()] == [message]
    assert receiver.journal.counters()["log_records_received", "http"] == len(KEPT[shape][1])


@pytest.mark.parametrize("reason", REJECTED)
def test_logs_of_other_kinds_are_rejected_by_partial_success(
    receiver: Receiver, send: Callable[..., Any], reason: str
) -> None:
    """A record that names no span or is an app's own is reported and counted by reason; its neighbour is kept."""
    neighbour = LogRecord(**IDS, event_name="gen_ai.choice", body=MESSAGE)
    answer = send(wrap("app", [REJECTED[reason], neighbour, REJECTED[reason]]))
    assert answer.partial_success.rejected_log_records == 2
    assert "(first: resource_logs[0].scope_logs[0].log_records[0])" in answer.partial_success.error_message
    assert [ExportLogsServiceRequest.FromString(payload) for payload in receiver.payloads()] == [
        wrap("app", [neighbour])
    ]
    assert receiver.journal.counters()["log_records_rejected", reason] == 2


def test_logs_with_nothing_to_keep_leave_no_entry(receiver: Receiver, send: Callable[..., Any]) -> None:
    """An app's plain logs alone are answered and counted, and cost the journal nothing."""
    assert send(wrap("app", list(REJECTED.values()))).partial_success.rejected_log_records == 3
    assert receiver.payloads() == []
    eventually(lambda: receiver.journal.counters().get(("log_records_rejected", "not_genai")) == 1)
