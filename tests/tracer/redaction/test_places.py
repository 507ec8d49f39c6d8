"""No secret leaves the process, wherever the application or an instrumentor puts it: looked for in what was sent."""

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import qualitrace
from support.secrets import KEYS, shown

# Twenty places; each is put to use by the application below.
PLACES = (
    "span name, input, output, documents, tool arguments, attribute, attribute key, list, bytes, JSON value, JSON key, "
    "URL, headers, event name, event attribute, link attribute, status, exception, scope name, session"
).split(", ")


def _use(given: dict[str, str]) -> None:
    """Trace with a secret in each place."""
    with qualitrace.session(given["session"]), qualitrace.span(f"call {given['span name']}") as span:
        span.set_inputs(f"why is {given['input']} refused?")
        span.set_outputs({"answer": f"{given['output']} is refused"})
    with qualitrace.span("search", kind="retriever") as span:
        span.set_outputs([{"page_content": f"the key is {given['documents']}."}])
    with qualitrace.span("tool", kind="tool") as span:
        span.set_inputs({"key": given["tool arguments"]})
    tracer = trace.get_tracer(f"scope {given['scope name']}")
    attributes: dict[str, Any] = {
        "text": given["attribute"],
        f"by {given['attribute key']}": 1,
        "list": ["a", given["list"]],
        "bytes": given["bytes"].encode(),
        "json": json.dumps({"a": [json.dumps({"b": given["JSON value"]})]}),
        "json key": json.dumps({given["JSON key"]: 1}),
        "url.full": f"https://example.com/?{given['URL']}=1",
        "http.request.header.x": f"Accept: */*\r\nX: {given['headers']}\r\n",
    }
    link = trace.Link(trace.SpanContext(1, 1, is_remote=True), {"link": given["link attribute"]})
    with tracer.start_as_current_span("raw", attributes=attributes, links=[link]) as raw:
        raw.add_event(f"event {given['event name']}", {"text": given["event attribute"]})
        raw.set_status(trace.StatusCode.ERROR, given["status"])
    with suppress(ValueError), tracer.start_as_current_span("failing"):
        raise ValueError(f"no {given['exception']}")


@pytest.fixture
def names_elsewhere(collector: Any) -> Any:
    """The names of spans as another processor of the application gets them."""
    qualitrace.init(endpoint=collector.endpoint, instrument=(), capture="redacted")
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(kept := _Kept())
    yield kept.names
    qualitrace.shutdown()


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.names.append(span.name)


def test_three_hundred_secrets_do_not_leave(collector: Any, names_elsewhere: Any) -> None:
    """All kinds in twenty places, with the defaults; the application's own spans are not changed."""
    random_ = random.Random(13)
    given = [{place: draw(random_) for place in PLACES} for draw in KEYS.values()]
    for secrets in given:
        _use(secrets)
    assert qualitrace.flush(20)
    assert len(collector.received) == 5 * len(given)
    sent = "\n".join(text for span in collector.received for text in span.texts)
    left = [(kind, place) for kind, of in zip(KEYS, given, strict=True) for place in PLACES if shown(sent, of[place])]
    assert (sum(map(len, given)) >= 300, left) == (True, [])
    assert given[0]["span name"] in "".join(names_elsewhere)


def test_harmless_spans_are_sent_as_they_are(collector: Any, names_elsewhere: Any) -> None:
    """Numbers, bytes, keys in any form, and the sender's own name."""
    with qualitrace.span("plain") as span:
        span.set_inputs({"question": "How many tokens has a password?", "n": 12345678901})
        span.set_attribute("gen_ai.usage.input_tokens", 12345678901)
    spans = collector.flushed()
    assert spans["plain"].json("input.value") == {"question": "How many tokens has a password?", "n": 12345678901}
    assert spans["plain"].attributes["gen_ai.usage.input_tokens"] == 12345678901
    assert spans["plain"].resource["telemetry.distro.name"] == "qualitrace"


def test_numbers_bytes_and_names_are_redacted_with_a_pattern(collector: Any) -> None:
    """A card's number as an integer, an address in bytes, in a key, a scope and a percent-encoded URL."""
    qualitrace.init(endpoint=collector.endpoint, instrument=(), redact=["email", "card"])
    try:
        tracer = trace.get_tracer("of ada@b.de")
        attributes: Any = {"n": 4111111111111111, "b": b"to ada@b.de", "c ada@b.de": 1, "u": "x?to=ada%40b.de&n=1"}
        with tracer.start_as_current_span("raw", attributes=attributes):
            pass
        (span,) = collector.flushed().values()
    finally:
        qualitrace.shutdown()
    expected = {"n": "[card]", "b": b"to [email]", "c [email]": 1, "u": "x?to=[email]&n=1"}
    assert {key: span.attributes[key] for key in expected} == expected
    assert span.scope == "of [email]"


def test_captured_in_full_a_secret_is_sent(collector: Any) -> None:
    """By `capture="full"` alone; a pattern that is asked for is followed all the same."""
    key = KEYS["GitHub"](random.Random(1))
    for redact, sent in ((None, f"ada@b.de {key}"), ("email", "[email] [secret]")):
        qualitrace.init(endpoint=collector.endpoint, instrument=(), capture="full", redact=redact)
        with qualitrace.span(f"ada@b.de {key}"):
            pass
        assert sent in collector.flushed()
        qualitrace.shutdown()


def test_a_function_gets_what_secrets_and_patterns_left(collector: Any) -> None:
    """In the order of the rules' kinds, beside patterns."""
    qualitrace.init(endpoint=collector.endpoint, instrument=(), redact=[lambda text: text.replace("Ada", "X"), "email"])
    with qualitrace.span("Ada ada@b.de password=hunter2"):
        pass
    assert list(collector.flushed()) == ["X [email] password=[secret]"]
    qualitrace.shutdown()
