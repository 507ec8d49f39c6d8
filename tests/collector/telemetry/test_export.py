"""The server's own spans and metrics at a real endpoint: what arrives, and that one that is away costs nothing."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from qualitrace_collector.telemetry.export import QUEUE_SPANS, OwnTelemetry
from qualitrace_collector.telemetry.settings import Telemetry
from qualitrace_collector.telemetry.spans import own_span
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


def test_an_endpoint_that_hangs_holds_up_nobody_and_takes_no_memory(sink: OtlpSink, tmp_path: Path) -> None:
    """Spans that find the queue full push out the oldest; afterwards the rest is sent."""
    with sink.hanging() as arrived:
        stand = Stand(tmp_path, endpoint=sink.url, sample=1, signals=["traces"])
        stand.spans(600)
        assert arrived.wait(30)
        stand.spans(3 * QUEUE_SPANS)
    stand.telemetry.stop()
    assert QUEUE_SPANS <= len(sink.spans) <= QUEUE_SPANS + 1000
