"""Own spans of batches: one a batch, from when its first trace came until it is recorded, and one a stage.

Names and attributes are those of OpenTelemetry's conventions for messaging, as the journal is a queue
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans).
"""

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer

from qualitrace_collector.pipeline.batch import Batch
from qualitrace_collector.telemetry.spans import fail, own_span

_ATTRIBUTES = {
    "messaging.system": "qualitrace",
    "messaging.destination.name": "journal",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
}


def begin(tracer: Tracer, batch: Batch) -> None:
    """Begin the span of a batch; one that starts over gets another."""
    came_at = min(item.piece.last_at for item in batch.items)
    attributes = {**_ATTRIBUTES, "messaging.batch.message_count": len(batch.items)}
    batch.span = tracer.start_span(
        "process journal", Context(), SpanKind.CONSUMER, attributes, start_time=int(came_at * 1e9)
    )


@contextmanager
def stage(tracer: Tracer, batch: Batch, name: str) -> Generator[None]:
    """Make the span of a stage: convert, store or record. A failure ends that of the batch, too."""
    try:
        with own_span(tracer, name, parent=batch.span):
            yield
    except Exception as error:
        fail(batch.span, error)
        batch.span.end()
        raise


def end(batch: Batch) -> None:
    """End the span of a batch that is recorded; it failed where a trace was refused."""
    if refused := [item.error for item in batch.items if item.error is not None]:
        fail(batch.span, refused[0])
        batch.span.set_attribute("qualitrace.batch.refused_count", len(refused))
    batch.span.end()
