"""The server's own spans and metrics at a real endpoint: what arrives, and that one that is away costs nothing."""

import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from qualitrace_collector.masking import masked
from qualitrace_collector.telemetry.export import QUEUE_SPANS, OwnTelemetry
from qualitrace_collector.telemetry.settings import Telemetry
from qualitrace_collector.telemetry.spans import own_span
from support.listening import listening
from support.otlp_sink import OtlpSink, otlp_sink
from support.waiting import eventually


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    """Provide an endpoint."""
    with otlp_sink() as sink:
        yield sink


class Stand:
    """Own telemetry that is sent to an endpoint, with its registry."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.registry = CollectorRegistry()
        self.telemetry = OwnTelemetry(Telemetry.model_validate(settings), self.registry, folder)

    def spans(self, count: int) -> None:
        for _ in range(count):
            with own_span(self.telemetry.tracer, "step"):
                pass

    def count(self, signal: str, outcome: str) -> float | None:
        labels = {"signal": signal, "outcome": outcome}
        return self.registry.get_sample_value("qualitrace_telemetry_exports_total", labels)


def test_spans_and_metrics_arrive(sink: OtlpSink, tmp_path: Path) -> None:
    """With the headers of the configuration, below the endpoint's path, as of one service; what waits is sent at a stop."""
    stand = Stand(tmp_path, endpoint=sink.url, headers="authorization=Bearer abc", sample=1)
    stand.telemetry.start()
    eventually(lambda: sink.metrics)
    stand.spans(3)
    stand.telemetry.stop()
    assert [span.name for span in sink.spans] == ["step"] * 3
    assert sink.headers["authorization"] == "Bearer abc"
    resources = (sink.traces[0].resource_spans[0].resource, sink.metrics[0].resource_metrics[0].resource)
    named = [{attribute.key: attribute.value.string_value for attribute in each.attributes} for each in resources]
    assert named[0] == named[1]
    assert named[0]["service.name"] == "qualitrace"
    assert (stand.count("traces", "sent"), stand.count("metrics", "sent")) == (1, 1)


@pytest.mark.parametrize(
    ("sample", "signals", "sent"), [(0, ["traces"], 0), (0.5, ["traces"], None), (1, ["metrics"], 0)]
)
def test_what_is_not_asked_for_is_not_sent(
    sink: OtlpSink, tmp_path: Path, sample: float, signals: list[str], sent: int | None
) -> None:
    """No more than the share of the spans, and none of a signal that is left out."""
    stand = Stand(tmp_path, endpoint=sink.url, sample=sample, signals=signals)
    stand.spans(200)
    stand.telemetry.stop()
    assert len(sink.spans) == sent or (sent is None and 60 <= len(sink.spans) <= 140)  # with 0.5: within 5 sigma
    assert sink.metrics == []


def test_nothing_is_sent_or_counted_without_an_endpoint(tmp_path: Path) -> None:
    """As by default."""
    stand = Stand(tmp_path)
    stand.telemetry.start()
    with own_span(stand.telemetry.tracer, "step") as span:
        assert not span.is_recording()
    stand.telemetry.stop()
    assert stand.count("traces", "failed") is None


def test_the_variable_that_disables_the_sdk_governs_metrics_too(
    sink: OtlpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why nothing comes, and nothing is counted."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    stand = Stand(tmp_path, endpoint=sink.url, sample=1)
    stand.telemetry.start()
    stand.spans(1)
    stand.telemetry.stop()
    assert (sink.spans, sink.metrics) == ([], [])
    assert (stand.count("traces", "sent"), stand.count("metrics", "sent")) == (None, None)
    assert "nothing is sent to telemetry.endpoint: OTEL_SDK_DISABLED is true" in caplog.messages


def test_a_failure_is_one_line_and_a_count(sink: OtlpSink, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However often it fails; another line says that it is over."""
    caplog.set_level(logging.INFO)
    sink.status = 403
    stand = Stand(tmp_path, endpoint=sink.url, interval=1, signals=["metrics"])
    stand.telemetry.start()
    eventually(lambda: (stand.count("metrics", "failed") or 0) >= 2)
    sink.status = 200
    eventually(lambda: stand.count("metrics", "sent"))
    stand.telemetry.stop()
    failed, again = (record.getMessage() for record in caplog.records)
    assert failed.startswith(f"{sink.url} does not take our own metrics (telemetry.endpoint): ")
    assert "403" in failed
    assert again == f"{sink.url} takes our own metrics again"


def test_an_answer_that_redirects_is_a_failure(
    sink: OtlpSink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody took the request: as where http:// is configured, and only https:// takes any."""
    sink.status = 301
    stand = Stand(tmp_path, endpoint=sink.url, signals=["metrics"])
    stand.telemetry.start()
    eventually(lambda: stand.count("metrics", "failed"))
    stand.telemetry.stop()
    assert stand.count("metrics", "sent") is None or stand.count("metrics", "sent") == 0
    assert "301 and redirects" in caplog.text


def test_an_endpoint_writes_no_control_characters_into_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of its answer's phrase."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(403, "\x1b[2Jaway")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output quiet."""

    with listening(Handler) as url:
        stand = Stand(tmp_path, endpoint=url, sample=1, signals=["traces"])
        stand.spans(1)
        stand.telemetry.stop()
    assert "403, reason:  [2Jaway;" in caplog.text
    assert "\x1b" not in caplog.text


def test_a_failure_has_its_reason_where_others_filter_the_log(
    sink: OtlpSink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As an SDK in the same process does, which keeps its own log short."""

    def drop(record: logging.LogRecord) -> bool:
        return False

    sink.status = 403
    stand = Stand(tmp_path, endpoint=sink.url, sample=1, signals=["traces"])
    stand.spans(1)
    exporter_log = logging.getLogger(trace_exporter.__name__)
    exporter_log.addFilter(drop)
    try:
        stand.telemetry.stop()
    finally:
        exporter_log.removeFilter(drop)
    assert "403" in caplog.text


def test_no_credentials_for_others_are_sent(sink: OtlpSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the host's own SDKs nor of its user's .netrc; those of the configuration are."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login them password theirs\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=theirs")
    for headers, authorization in ((None, None), ("Authorization=Bearer%20ours", "Bearer ours")):
        stand = Stand(tmp_path, endpoint=sink.url, headers=headers, sample=1, signals=["traces"])
        stand.spans(1)
        stand.telemetry.stop()
        assert sink.headers["content-type"] == "application/x-protobuf"
        assert "x-api-key" not in sink.headers
        assert sink.headers.get("authorization") == authorization


@pytest.mark.parametrize("value", ["Bearer%0Aabcdef123456", "Bearer%20abc%0D%0Ax-more: 1", "%E2%82%AC"])
def test_headers_that_http_cannot_carry_are_refused(value: str) -> None:
    """At the start: the client's own message would be a line in the log each time, with the token."""
    with pytest.raises(ValidationError, match=r"headers\n.*in ASCII and on one line") as error:
        Telemetry.model_validate({"endpoint": "http://127.0.0.1:4318", "headers": f"authorization={value}"})
    assert value not in str(error.value)


def test_an_encoded_token_is_masked() -> None:
    """In the form in which it is sent."""
    Telemetry.model_validate({"endpoint": "http://127.0.0.1:4318", "headers": "x-team=Bearer%20q9%2Fz8-Tt55w"})
    assert "z8-Tt55w" not in masked("refused q9/z8-Tt55w")


def test_an_endpoint_that_hangs_holds_up_nobody_and_takes_no_memory(sink: OtlpSink, tmp_path: Path) -> None:
    """Spans that find the queue full push out the oldest; afterwards the rest is sent."""
    with sink.hanging() as arrived:
        stand = Stand(tmp_path, endpoint=sink.url, sample=1, signals=["traces"])
        stand.spans(600)
        assert arrived.wait(30)
        stand.spans(3 * QUEUE_SPANS)
    stand.telemetry.stop()
    assert QUEUE_SPANS <= len(sink.spans) <= QUEUE_SPANS + 1000
