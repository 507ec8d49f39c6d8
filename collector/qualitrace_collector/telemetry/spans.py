"""The server's own spans. They hold names and counts: no text of a trace, no address, no error message."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context


@contextmanager
def own_span(
    tracer: Tracer,
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, str | int] | None = None,
    parent: Span | None = None,
) -> Generator[Span]:
    """Make a span, without making it the current one: libraries that trace themselves would add theirs to it."""
    context = set_span_in_context(parent, Context()) if parent else Context()
    span = tracer.start_span(name, context, kind, attributes)
    try:
        yield span
    except Exception as error:
        fail(span, error)
        raise
    finally:
        span.end()


def fail(span: Span, error: Exception) -> None:
    """Mark what a span is about as failed; an error's text may quote what users wrote, so its kind has to do."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)
