"""OpenTelemetry's own Python exporters deliver through both doors."""

import logging
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OTLPGrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OTLPHttpSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


@pytest.mark.parametrize("compression", list(Compression))
def test_the_http_span_exporter_is_understood(receiver: Any, compression: Compression) -> None:
    """OpenTelemetry's own span exporter delivers, with each compression it has."""
    exporter = OTLPHttpSpanExporter(f"http://{receiver.http}/v1/traces", compression=compression)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("asked") as span:
        trace_id = span.get_span_context().trace_id.to_bytes(16, "big")
    provider.shutdown()
    (entry,) = receiver.journal.read(0, 100, 1 << 30)
    request = ExportTraceServiceRequest.FromString(entry.payload)
    kept = request.resource_spans[0].scope_spans[0].spans[0]
    assert (kept.name, kept.trace_id) == ("asked", trace_id)


def test_the_http_log_exporter_is_understood(receiver: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A GenAI event inside a span is journalled as logs; one outside of any is rejected, which is not an error."""
    caplog.set_level(logging.WARNING)
    provider = LoggerProvider()
    exporter = OTLPLogExporter(f"http://{receiver.http}/v1/logs")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    with TracerProvider().get_tracer("test").start_as_current_span("asked") as span:
        provider.get_logger("test").emit(LogRecord(body="inside", event_name="gen_ai.choice"))
    provider.get_logger("test").emit(LogRecord(body="outside", event_name="gen_ai.choice"))
    provider.shutdown()
    (entry,) = receiver.journal.read(0, 100, 1 << 30)
    record = ExportLogsServiceRequest.FromString(entry.payload).resource_logs[0].scope_logs[0].log_records[0]
    assert (entry.signal, record.body.string_value) == ("logs", "inside")
    assert record.trace_id == span.get_span_context().trace_id.to_bytes(16, "big")
    assert not [item for item in caplog.records if item.levelno >= logging.ERROR]


def test_the_grpc_span_exporter_is_understood(receiver: Any) -> None:
    """OpenTelemetry's own gRPC exporter delivers a span."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPGrpcSpanExporter(receiver.grpc, insecure=True)))
    with provider.get_tracer("test").start_as_current_span("asked"):
        pass
    provider.shutdown()
    (entry,) = receiver.journal.read(0, 10, 1 << 30)
    request = ExportTraceServiceRequest.FromString(entry.payload)
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "asked"
