"""What one look at a span is sure of: what it lets pass is sent as it is, so it must pass no more than that."""

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from qualitrace.simple_spans import SIMPLE_BYTES, simple_texts


def ended(name: str = "call", scope: str = "app", **options: Any) -> ReadableSpan:
    span = TracerProvider().get_tracer(scope).start_span(name, **options)
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def test_all_texts_of_a_simple_span_are_seen() -> None:
    """The name, texts and rows of texts, in any script; flags and small numbers have nothing to redact."""
    attributes = {"a.b": "x", "c": ("y", "z"), "d": "é語", "gen_ai.usage.input_tokens": 12, "f": 0.5, "g": True}
    assert simple_texts(ended(attributes=attributes)) == ["call", "x", "y", "z", "é語"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "half \ud83d"},
        {"scope": "half \ud83d"},
        {"attributes": {"a": "half \ud83d"}},
        {"attributes": {"a": ("half \ud83d",)}},
        {"attributes": {"a": 1 << 64}},
        {"attributes": {"a": 4111111111111111}},
        {"attributes": {"a": ("x", 4111111111111111)}},
        {"attributes": {"a": b"bytes"}},
        {"attributes": {"to ada@b.de": 1}},
        {"attributes": {"password": "x"}},
        {"attributes": {"a": "x" * (SIMPLE_BYTES // 4)}},
        {"links": [trace.Link(trace.SpanContext(1, 1, is_remote=True), {"a": "x"})]},
    ],
    ids="name scope text texts wide number numbers bytes key secret long link".split(),
)
def test_any_other_span_is_left_to_closer_looks(options: dict[str, Any]) -> None:
    """Where it could not be encoded, could be redacted by its name or as a number, or could be large."""
    assert simple_texts(ended(**options)) is None


def test_events_and_descriptions_are_left_to_closer_looks() -> None:
    """Both may hold any text."""
    span = TracerProvider().get_tracer("app").start_span("call")
    failed = TracerProvider().get_tracer("app").start_span("call")
    span.add_event("x")
    failed.set_status(trace.StatusCode.ERROR, "x")
    assert isinstance(span, ReadableSpan)
    assert isinstance(failed, ReadableSpan)
    assert (simple_texts(span), simple_texts(failed)) == (None, None)
