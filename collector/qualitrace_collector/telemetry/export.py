"""Sends the server's own spans and metrics, by OpenTelemetry's SDK, beside everything else.

Spans wait in a queue with a bound, from which a thread of the SDK sends them; another thread sends the metrics. Nothing
waits for either.
"""

import logging
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NoOpTracer, Tracer
from prometheus_client import CollectorRegistry, Counter

from qualitrace.environment import sdk_is_disabled
from qualitrace_collector.masking import masked
from qualitrace_collector.metrics import TELEMETRY_EXPORTS
from qualitrace_collector.process.loop import Loop
from qualitrace_collector.telemetry import bridge
from qualitrace_collector.telemetry.own import DISTRO, DISTRO_KEY, SCOPE
from qualitrace_collector.telemetry.session import EndpointSession
from qualitrace_collector.telemetry.settings import Telemetry

QUEUE_SPANS, EXPORT_SPANS, DELAY_SECONDS = 2048, 512, 5.0
"""The SDK's own defaults: spans that wait at most, those of a request, and how long they wait for others."""
EXPORT_POINTS = 10_000
"""Points of metrics that one request holds at most."""
TIMEOUT_SECONDS = 10.0

R = TypeVar("R")

_log = logging.getLogger(__name__)


class OwnTelemetry:
    """The server's own spans and metrics.

    Args:
        registry: the metrics; how exports go is one of them.
        data_dir: distinguishes the servers of a host.

    Attributes:
        tracer: for the server's parts; it records nothing without an endpoint, or if the SDK is disabled.
    """

    def __init__(self, settings: Telemetry, registry: CollectorRegistry, data_dir: Path) -> None:
        self._settings = settings
        self._registry = registry
        self._provider: TracerProvider | None = None
        self._loops: list[Loop] = []
        self.tracer: Tracer = NoOpTracer()
        self._exports = TELEMETRY_EXPORTS.counter(registry)
        if settings.endpoint is None:
            return
        if sdk_is_disabled():
            _log.warning("nothing is sent to telemetry.endpoint: OTEL_SDK_DISABLED is true")
            return
        url, headers = str(settings.endpoint).rstrip("/"), dict(settings.sent_headers)
        self._resource = _resource(data_dir)
        if "traces" in settings.signals:
            exporter = _SpanExporter(
                _Watch("traces", url, self._exports), f"{url}/v1/traces", EndpointSession(headers), TIMEOUT_SECONDS
            )
            self._provider = TracerProvider(ParentBased(TraceIdRatioBased(settings.sample)), self._resource)
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter, QUEUE_SPANS, 1000 * DELAY_SECONDS, EXPORT_SPANS)
            )
            self.tracer = self._provider.get_tracer(SCOPE, version("qualitrace"))
        if "metrics" in settings.signals:
            self._watch = _Watch("metrics", url, self._exports)
            self._metrics = metric_exporter.OTLPMetricExporter(
                f"{url}/v1/metrics",
                timeout=TIMEOUT_SECONDS,
                session=EndpointSession(headers),
                max_export_batch_size=EXPORT_POINTS,
            )
            self._loops.append(Loop("telemetry", self._export_metrics))

    def start(self) -> None:
        """Begin to send metrics; safe twice."""
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Send what waits, once; takes as long as the endpoint does, up to seconds. Safe twice."""
        for loop in self._loops:
            loop.stop(0)
        if self._provider is not None:
            self._provider.shutdown()

    def _export_metrics(self) -> float:
        data = bridge.read(self._registry, self._resource, time.time_ns())
        self._watch.of(lambda: self._metrics.export(data, 1000 * TIMEOUT_SECONDS), MetricExportResult.SUCCESS)
        return self._settings.interval


def _resource(data_dir: Path) -> Resource:
    own_version = version("qualitrace")
    instance = uuid.uuid5(uuid.NAMESPACE_URL, f"{socket.gethostname()}/{data_dir.resolve()}")
    return Resource.create(
        {
            "service.name": "qualitrace",
            "service.version": own_version,
            "service.instance.id": str(instance),
            DISTRO_KEY: DISTRO,
            "telemetry.distro.version": own_version,
        }
    )


class _SpanExporter(trace_exporter.OTLPSpanExporter):
    """Counts what becomes of exports."""

    def __init__(self, watch: "_Watch", endpoint: str, session: EndpointSession, timeout: float) -> None:
        super().__init__(endpoint, timeout=timeout, session=session)
        self._watch = watch

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        export = super().export
        return self._watch.of(lambda: export(spans), SpanExportResult.SUCCESS)


class _Watch(logging.Filter):
    """Counts the exports of a signal, and logs one line when they begin to fail, and one when they succeed again.

    The exporter's own log, a line for each failure, is not written: its last line is the reason in ours.
    """

    def __init__(self, signal: str, url: str, exports: Counter) -> None:
        super().__init__()
        self._signal, self._url = signal, masked(url)
        self._counts = {outcome: exports.labels(signal, outcome) for outcome in ("sent", "failed")}
        self._failing = False
        self._reason = ""
        self._exporter_log = logging.getLogger((trace_exporter if signal == "traces" else metric_exporter).__name__)

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a line of the exporter as the reason, and out of the log."""
        # An endpoint may answer with sequences that the terminal of a reader would obey.
        self._reason = "".join(letter if letter.isprintable() else " " for letter in record.getMessage())
        return False

    def of(self, export: Callable[[], R], success: R) -> R:
        """Export, and note how it went."""
        # The first of the filters: another, such as the SDK's own, may drop the line that has the reason.
        self._exporter_log.filters.insert(0, self)
        try:
            result = export()
        finally:
            self._exporter_log.removeFilter(self)
        self._note(result is success)
        return result

    def _note(self, succeeded: bool) -> None:
        if succeeded and self._failing:
            _log.warning("%s takes our own %s again", self._url, self._signal)
        elif not succeeded and not self._failing:
            _log.warning(
                "%s does not take our own %s (telemetry.endpoint): %s; nothing else is affected",
                self._url,
                self._signal,
                self._reason,
            )
        self._failing = not succeeded
        self._counts["sent" if succeeded else "failed"].inc()
