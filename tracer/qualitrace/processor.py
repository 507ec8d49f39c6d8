"""The span processor: stamps the session on each span, exports in batches, and never holds the app up."""

import logging
import threading
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Span
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from qualitrace.exporter import RedactingExporter
from qualitrace.lifecycle import SHUTDOWN_SECONDS
from qualitrace.quiet import SparseFilter, never_raises
from qualitrace.session import session_attributes
from qualitrace.settings import Settings

BATCH_SPANS = 128
"""Spans of one request: they carry prompts and documents, and the exporter drops requests over 64 MiB."""

logging.getLogger(OTLPSpanExporter.__module__).addFilter(SparseFilter())


class QualitraceSpanProcessor(BatchSpanProcessor):
    """OpenTelemetry's batch processor, whose waits are bounded.

    As it comes, it waits 30 s in `shutdown` and without limit in `force_flush` for a collector that is dead.
    """

    def __init__(self, settings: Settings) -> None:
        options: dict[str, Any] = {
            "endpoint": settings.endpoint,
            "headers": dict(settings.headers or {}),
            "timeout": settings.export_timeout,
        }
        redact = settings.redact
        exporter = OTLPSpanExporter(**options) if redact is None else RedactingExporter(redact, **options)
        super().__init__(
            exporter,
            max_queue_size=settings.queue_size,
            schedule_delay_millis=settings.schedule_delay * 1000,
            max_export_batch_size=min(BATCH_SPANS, settings.queue_size),
        )

    @never_raises
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Put the session of the context on `span`."""
        span.set_attributes(session_attributes(parent_context))

    def shutdown(self) -> None:
        """Export what is queued, for at most `SHUTDOWN_SECONDS`; no thread is started, which exit forbids."""
        self._batch_processor.shutdown(timeout_millis=int(SHUTDOWN_SECONDS * 1000))

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export what is queued; False if that took longer than `timeout_millis` (default 3000)."""
        done = threading.Event()

        def flush() -> None:
            if self._batch_processor.force_flush():
                done.set()

        threading.Thread(target=flush, name="qualitrace-flush", daemon=True).start()
        return done.wait((3000 if timeout_millis is None else timeout_millis) / 1000)
