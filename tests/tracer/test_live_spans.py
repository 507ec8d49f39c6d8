"""The spans of web requests leave only if something happens below them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace as otel

import qualitrace
from qualitrace import provider
from qualitrace.live_spans import MAX_LIVE, MAX_LONE

WEB = "opentelemetry.instrumentation.asgi"


@contextmanager
def request(name: str = "GET /", scope: str = WEB) -> Iterator[otel.Span]:
    """Serve a request in the block, as the instrumentors of web frameworks do."""
    with otel.get_tracer(scope).start_as_current_span(name, kind=otel.SpanKind.SERVER) as span:
        yield span


def test_a_lone_request_stays(tracing: Any) -> None:
    """A health check leaves no span, one with a step below it does."""
    with request("GET /health"):
        pass
    with request("GET /ask"), qualitrace.span("answer"):
        pass
    assert set(tracing.flushed()) == {"GET /ask", "answer"}


@pytest.mark.parametrize("scope", ["fastapi", "opentelemetry.instrumentation.flask"])
def test_a_framework_alone_does_not_count(tracing: Any, scope: str) -> None:
    """Spans that frameworks make below a request leave only with something below themselves, and with all above."""
    with request(scope=scope), otel.get_tracer(scope).start_as_current_span("http send"):
        pass
    with request("GET /ask", scope):
        with otel.get_tracer(scope).start_as_current_span("http receive"):
            pass
        with otel.get_tracer(scope).start_as_current_span("mounted"), qualitrace.span("answer"):
            pass
    assert set(tracing.flushed()) == {"GET /ask", "mounted", "answer"}


def test_a_request_of_the_app(tracing: Any) -> None:
    """A span of kind SERVER that the app makes itself always leaves."""
    with request(scope="app"):
        pass
    assert set(tracing.flushed()) == {"GET /"}


def test_a_task_that_outlives_its_request(tracing: Any) -> None:
    """A step that starts below a request after its end brings the request's span along, once."""
    with request() as span:
        pass
    assert tracing.flushed() == {}
    for name in ("first", "second"):
        with otel.use_span(span), qualitrace.span(name):
            pass
    assert qualitrace.flush()
    assert sorted(received.name for received in tracing.received) == ["GET /", "first", "second"]


def test_held_requests_are_bounded(tracing: Any) -> None:
    """A crowd of requests is not kept: what ended is forgotten, what goes on leaves without further question."""
    with request("GET /slow"):
        for _ in range(MAX_LONE + 10):
            with request():
                pass
    running = provider.processor()
    assert running is not None
    assert len(running.requests._lone) <= MAX_LONE
    assert set(tracing.flushed()) == {"GET /slow"}


def test_spans_that_never_end_are_bounded(tracing: Any) -> None:
    """An app that forgets to end its spans does not fill the memory."""
    tracer = otel.get_tracer("app")
    for _ in range(MAX_LIVE + 10):
        tracer.start_span("never")
    running = provider.processor()
    assert running is not None
    assert len(running.live._spans) == MAX_LIVE


def test_the_request_gets_the_session(tracing: Any) -> None:
    """A session that the app begins in a request is on the request's span, too; of several the first one stays."""
    with request():
        for name in ("s1", "s2"):
            with qualitrace.session(name, user="ada"), qualitrace.span(name):
                pass
    spans = tracing.flushed()
    assert {name: span.attributes["session.id"] for name, span in spans.items()} == {
        "GET /": "s1",
        "s1": "s1",
        "s2": "s2",
    }
    assert spans["GET /"].attributes["user.id"] == "ada"
