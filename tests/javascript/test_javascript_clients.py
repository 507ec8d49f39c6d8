"""OpenTelemetry's JavaScript SDK delivers with each of its exporters."""

import json
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qualitrace_collector.journal import JournalEntry
from support.otlp import request, span
from support.receiving import Receiver, receive_config, receiving
from support.waiting import eventually

pytestmark = pytest.mark.slow

Start = Callable[..., "subprocess.Popen[str]"]
EXPORTERS = ["json", "proto", "grpc"]


def url_of(receiver: Receiver, exporter: str) -> str:
    """Return where the exporter is to send to."""
    return f"http://{receiver.grpc}" if exporter == "grpc" else f"http://{receiver.http}/v1/traces"


def ids_of(client: "subprocess.Popen[str]") -> dict[str, bytes]:
    """Wait for the client's end; return the ids it printed."""
    out, err = client.communicate(timeout=60)
    assert (client.returncode, err) == (0, "")
    return {name: bytes.fromhex(value) for name, value in json.loads(out).items()}


def spans_by_name(payload: bytes) -> dict[str, Span]:
    """Return a journalled request's spans."""
    message = ExportTraceServiceRequest.FromString(payload)
    return {s.name: s for resource in message.resource_spans for scope in resource.scope_spans for s in scope.spans}


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_each_exporter_delivers(start_client: Start, tmp_path: Path, exporter: str, compression: str) -> None:
    """What the app recorded is in the journal: ids, kind, status, events, links and attributes of each type."""
    with receiving(receive_config(tmp_path)) as receiver:
        ids = ids_of(start_client(exporter, url_of(receiver, exporter), compression))
        (payload,) = receiver.payloads()
    spans = spans_by_name(payload)
    root, chat = spans["ask"], spans["chat gpt-4o-mini"]
    assert (root.trace_id, root.span_id, root.parent_span_id) == (ids["trace"], ids["root"], b"")
    assert (chat.trace_id, chat.span_id, chat.parent_span_id) == (ids["trace"], ids["chat"], ids["root"])
    assert (chat.links[0].trace_id, chat.links[0].span_id) == (ids["trace"], ids["root"])
    assert (chat.kind, chat.status) == (Span.SPAN_KIND_CLIENT, Status(code=Status.STATUS_CODE_ERROR, message="cut off"))
    assert chat.start_time_unix_nano < chat.events[0].time_unix_nano <= chat.end_time_unix_nano
    assert (chat.events[0].name, chat.events[0].attributes[0].value.int_value) == ("first token", 0)
    values = {attribute.key: attribute.value for attribute in chat.attributes}
    assert values["gen_ai.prompt"].string_value == "Wie geht's? こんにちは 😀"
    assert values["cut.in.half"].string_value.strip("\ufffd") == ""
    assert values["gen_ai.usage.input_tokens"].int_value == 14
    assert values["large"].int_value == 2**53 - 1
    assert values["gen_ai.request.temperature"].double_value == 0.5
    assert values["gen_ai.stream"].bool_value
    reasons = values["gen_ai.response.finish_reasons"].array_value.values
    assert [item.string_value for item in reasons] == ["stop", "length"]


@pytest.fixture
def full_receiver(tmp_path: Path) -> Generator[Receiver]:
    """Run a receiver whose journal has no room before its only entry is settled."""
    filler = request([span(1, 1, text="x" * 2800)]).SerializeToString()
    with receiving(receive_config(tmp_path, max_size=3000)) as receiver:
        receiver.journal.append([JournalEntry(signal="traces", payload=filler, received_at=0)])
        yield receiver


@pytest.mark.parametrize("exporter", ["json", "proto"])
def test_the_http_exporters_come_back_after_a_refusal(
    start_client: Start, full_receiver: Receiver, exporter: str
) -> None:
    """While the journal is full the exporter is refused and waits as asked; with room again its spans arrive."""
    client = start_client(exporter, url_of(full_receiver, exporter), "none")
    eventually(lambda: full_receiver.journal.counters().get(("requests_refused", "full")))
    full_receiver.journal.delete_done([1])
    ids = ids_of(client)
    (payload,) = full_receiver.payloads()
    assert spans_by_name(payload)["ask"].trace_id == ids["trace"]


def test_the_grpc_exporter_reports_a_refusal(start_client: Start, full_receiver: Receiver) -> None:
    """JavaScript's gRPC exporter never tries again, whatever the answer; its error says what the collector said."""
    _, err = start_client("grpc", url_of(full_receiver, "grpc"), "none").communicate(timeout=60)
    assert "UNAVAILABLE: the journal is full; try again" in err
