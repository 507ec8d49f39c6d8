"""The way of spans out of the process: our provider and batch processor, OpenTelemetry's with small changes.

Imported by `provider` only: the SDK would make `import qualitrace` slow.
"""

import importlib.metadata
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from qualitrace.delivery import Delivery, Tally
from qualitrace.ending import hold_signals_in_forks
from qualitrace.late_exporter import LateExporter
from qualitrace.live_spans import LiveSpans, LoneRequests
from qualitrace.quiet import SHUTDOWN_SECONDS, SparseFilter, logger, never_raises
from qualitrace.sampling import sampler
from qualitrace.session import session_attributes
from qualitrace.settings import CONSOLE_ONLY, Settings
from qualitrace.shared_flush import SharedFlush
from qualitrace.untraced import ATTRIBUTE, untraced_libraries

if TYPE_CHECKING:
    from qualitrace.exporter import SpanReader

# Spans in one request: they carry prompts and documents.
BATCH_SPANS = 128

logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").addFilter(SparseFilter())


class OwnTracerProvider(TracerProvider):
    """The provider of an app that has none, with service, environment and sampler of the settings."""

    def __init__(self, settings: Settings, id_generator: IdGenerator | None = None) -> None:
        super().__init__(
            sampler(settings.sample_ratio, follows_caller=settings.follow_caller_sampling),
            _resource(settings),
            shutdown_on_exit=False,  # it would wait at exit, too, and longer than `shutdown` does
            id_generator=id_generator,
        )
        # Weak: SDKs from 1.39 on may make a tracer at each call, and some apps ask for one at each request.
        self._made: WeakKeyDictionary[otel.Tracer, tuple[Any, Any]] = WeakKeyDictionary()

    def get_tracer(self, *args: Any, **kwargs: Any) -> otel.Tracer:
        """Return a tracer, which `step_aside` may turn to another provider."""
        tracer = super().get_tracer(*args, **kwargs)
        self._made[tracer] = (args, kwargs)
        return tracer

    def step_aside(self, successor: otel.TracerProvider) -> None:
        """Let another provider make the spans of all our tracers, and give it the processors that others added."""
        add = getattr(successor, "add_span_processor", self.add_span_processor)
        for processor in self._active_span_processor._span_processors:  # pyright: ignore[reportPrivateUsage]
            if not isinstance(processor, QualitraceSpanProcessor):
                add(processor)
        for tracer, (args, kwargs) in list(self._made.items()):
            tracer.start_span = successor.get_tracer(*args, **kwargs).start_span
        self.get_tracer = successor.get_tracer
        self.add_span_processor = add


def _resource(settings: Settings) -> Resource:
    attributes = {
        "service.name": settings.service_name,
        "telemetry.distro.name": "qualitrace",
        "telemetry.distro.version": importlib.metadata.version("qualitrace"),
    }
    if settings.environment:
        attributes["deployment.environment.name"] = settings.environment
    return Resource.create(attributes)


class QualitraceSpanProcessor(BatchSpanProcessor):
    """OpenTelemetry's batch processor, which puts the session on each span and whose waits are bounded.

    The original waits for a dead collector for 30 s in `shutdown`, and without limit in `force_flush`.

    Attributes:
        live: the spans that have not ended.
        requests: those of web requests that are held back until something happens below them.
    """

    def __init__(self, settings: Settings) -> None:
        sends = settings.console != CONSOLE_ONLY
        endpoint = settings.endpoint if sends else "the console"
        self._tally = tally = Tally(endpoint, self._queued, settings.queue_size)
        self._said = False  # the app's provider may shut down, too
        self.live = LiveSpans()
        self.requests = LoneRequests(self._take)
        self._exporter = LateExporter(settings, tally)
        self._exporter.sends = sends
        if settings.console:
            from qualitrace.console import Console

            self._exporter.readers.append(Console())
        super().__init__(
            self._exporter,
            max_queue_size=settings.queue_size,
            schedule_delay_millis=settings.schedule_delay * 1000,
            max_export_batch_size=min(BATCH_SPANS, settings.queue_size),
            export_timeout_millis=settings.export_timeout * 1000,  # unused; given lest its variable be read
        )
        hold_signals_in_forks()
        self._flush = SharedFlush(self._batch_processor.force_flush)  # which has no timeout

    def _queued(self) -> int:
        return len(self._batch_processor._queue)  # pyright: ignore[reportPrivateUsage]  # it has no public length

    @never_raises
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Put the session of the context on `span`, and on a root what of the app is not traced."""
        if attributes := session_attributes(parent_context):
            span.set_attributes(attributes)
        if span.parent is None and (untraced := untraced_libraries()):
            span.set_attribute(ATTRIBUTE, untraced)
        if context := span.context:
            self.live.started(context.span_id, span)
            self.requests.started(context.span_id, span)

    @contextmanager
    def diverted(self, reader: "SpanReader") -> Generator[None]:
        """Give the spans that end in the block to `reader` alone, and send none of them."""
        self.force_flush()
        exporter, sends = self._exporter, self._exporter.sends
        exporter.readers.append(reader)
        exporter.sends = False
        try:
            yield
        finally:
            self.force_flush()
            exporter.readers.remove(reader)
            exporter.sends = sends

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span, unless it is held back."""
        span_id = span.context.span_id if span.context else 0
        self.live.ended(span_id)
        if self.requests.ended(span_id, span):
            self._take(span)

    def _take(self, span: ReadableSpan) -> None:
        """Queue a sampled span; the queue drops its oldest one if it is full."""
        if (context := span.context) and context.trace_flags.sampled:
            self._tally.ended()
        super().on_end(span)

    def status(self) -> Delivery:
        """Return what became of the spans so far."""
        return self._tally.status()

    def load(self) -> None:
        """Import what the export of the queue needs: that takes long on a busy machine, and loses no span by itself."""
        if self._queued():
            self._exporter.load()

    def shutdown(self) -> None:
        """Export what is queued, for at most `SHUTDOWN_SECONDS`, and say what is lost."""
        # In this thread: Python 3.12 starts no thread at exit.
        self._batch_processor.shutdown(timeout_millis=int(SHUTDOWN_SECONDS * 1000))
        self.say_losses()

    def say_losses(self) -> None:
        """Log one line about the spans that are lost, those that wait among them; nothing the second time."""
        status = self._tally.close(SHUTDOWN_SECONDS)
        if not self._said and (status.refused or status.dropped):
            self._said = True
            logger.warning("%s", status)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export what is queued; return whether that took less than `timeout_millis` (default 3000)."""
        return self._flush.begin().wait((3000 if timeout_millis is None else timeout_millis) / 1000)
