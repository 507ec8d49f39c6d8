"""When the first chunk of a streamed call came, as libraries record it."""

from mlflow.entities import SpanEvent

from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.convert.span_draft import Event
from qualitrace_collector.convert.spending import countable

# Seconds from the request: OpenTelemetry's. Milliseconds: Vercel's AI SDK.
IN_SECONDS = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.client.operation.time_to_first_chunk",
    "gen_ai.server.time_to_first_token",
)
IN_MILLISECONDS = ("ai.response.msToFirstChunk",)
CHUNK_EVENTS = frozenset({"First Token Stream Event", "llm.content.completion.chunk"})
"""OpenInference's and OpenLLMetry's."""


def first_chunk_seconds(span: AnySpan) -> float | None:
    """Return how long a call took to its first chunk; None if the span does not say."""
    for names, unit in ((IN_SECONDS, 1), (IN_MILLISECONDS, 1000)):
        for name in names:
            if (wait := countable(span.get_attribute(name))) is not None:
                return wait / unit
    times = [_time_of(event) for event in span.events if event.name in CHUNK_EVENTS]
    return max(0.0, (min(times) - span.start_time_ns) / 1e9) if times else None


def _time_of(event: Event | SpanEvent) -> int:
    return event.time if isinstance(event, Event) else event.timestamp
