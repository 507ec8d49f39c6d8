"""`qualitrace.testing`: an app's spans in memory, in whatever state its tracing is."""

import sys
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace as otel

import qualitrace
from qualitrace import provider
from qualitrace.export import QualitraceSpanProcessor
from qualitrace.testing import RecordedSpans, record_spans

# An app and its tests, as users write them.
APP = """
import qualitrace

@qualitrace.trace(kind="retriever")
def search(question):
    return ["We ship to France."]

@qualitrace.trace
def answer(question):
    with qualitrace.session("s1", user="ada"):
        return search(question)[0]
"""
SUITE = """
import os, app, qualitrace

if os.environ.get("APP_CALLS_INIT"):
    qualitrace.init(service_name="shop", endpoint="http://127.0.0.1:9")

def test_first(qualitrace_spans):
    app.answer("Do you ship?")
    assert qualitrace_spans.one(kind="retriever").outputs[0]["page_content"] == "We ship to France."
    assert [span.name for span in qualitrace_spans.children(qualitrace_spans.one("answer"))] == ["search"]

def test_second(qualitrace_spans):
    app.search("Why?")
    assert [span.name for span in qualitrace_spans] == ["search"]

def test_third_fails(qualitrace_spans):
    app.answer("Do you ship?")
    qualitrace_spans.one("rerank")
"""


@pytest.mark.slow
@pytest.mark.parametrize("variables", [{"APP_CALLS_INIT": "1"}, {"QUALITRACE_SAMPLE_RATIO": "0"}])
def test_a_users_suite(programs: Any, variables: dict[str, str]) -> None:
    """The fixture gives each test its own spans, without a collector, whether the app calls `init` or not."""
    programs.write(APP, "app.py")
    programs.write(SUITE, "test_app.py")
    options = ("-p", "qualitrace.pytest_plugin", "-p", "no:cacheprovider", "test_app.py")
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of this environment are many
    done = programs.finish(programs.start(sys.executable, "-m", "pytest", *options, **variables))
    output = done.output + done.errors
    assert "1 failed, 2 passed" in output
    assert "0 times span 'rerank', not once, in" in output
    assert "└─ search [retriever]" in output
    assert "127.0.0.1:9/" not in output  # nobody was asked to take the spans


def work() -> None:
    with suppress(KeyError), qualitrace.session("s1", user="ada"), qualitrace.span("shop", kind="agent") as span:
        span.set_inputs({"question": "password=hunter22 ?"})
        qualitrace.feedback(qualitrace.current_trace_id() or "", "thumb", True)
        with qualitrace.span("look up", kind="tool") as tool:
            tool.set_inputs({"city": "Paris"})
            tool.set_outputs("rain")
        raise KeyError("lost")


def check(spans: RecordedSpans) -> None:
    agent, tool = spans.one("shop"), spans.one(kind="tool")
    assert [span.name for span in spans] == ["look up", "shop"]
    assert (tool.inputs, tool.outputs, tool.parent_id) == ({"city": "Paris"}, "rain", agent.span_id)
    assert (agent.session, agent.user, agent.error) == ("s1", "ada", "KeyError: 'lost'")
    assert agent.inputs == {"question": "password=[secret] ?"}
    assert [item["trace_id"] for item in spans.feedback] == [agent.trace_id]


def test_while_the_app_is_traced(tracing: Any) -> None:
    """What ends in the block is recorded as it would be sent, and is not sent; what ends around it is."""
    with qualitrace.span("before"):
        pass
    with record_spans() as spans:
        work()
        check(spans)
    with qualitrace.span("after"):
        pass
    assert tracing.flushed().keys() == {"before", "after"}
    check(spans)


def test_without_the_apps_init() -> None:
    """Tracing starts and ends with the block, and leaves nothing behind in OpenTelemetry's provider."""
    for _ in range(2):
        with record_spans(instrument=()) as spans:
            work()
        check(spans)
        with qualitrace.span("outside"):
            pass
        assert len(spans) == 2
    active: Any = getattr(otel.get_tracer_provider(), "_active_span_processor", None)
    left = () if active is None else active._span_processors
    assert not any(isinstance(processor, QualitraceSpanProcessor) for processor in left)  # other tests add their own
    assert provider.processor() is None


def test_an_app_that_starts_and_stops(tracing: Any) -> None:
    """As it does in each test with its server: what it does in between is recorded, and tracing goes on afterwards."""
    with record_spans() as spans:
        for name in ("first", "second"):
            qualitrace.init(service_name="shop")
            with qualitrace.span(name):
                pass
            qualitrace.shutdown()
        assert [span.name for span in spans] == ["first", "second"]
    with qualitrace.span("after"):
        pass
    assert tracing.flushed().keys() == {"after"}


def test_clear(tracing: Any) -> None:
    """Of one test's steps those that matter can be looked at alone."""
    with record_spans() as spans:
        work()
        spans.clear()
        with qualitrace.span("rest"):
            pass
        assert ([span.name for span in spans], spans.feedback) == (["rest"], [])


def test_one_of_many(tracing: Any) -> None:
    """Two spans of a name are not one; the message shows all spans as a tree."""
    with record_spans() as spans:
        with qualitrace.span("turn"):
            for question in ("why?", "how?"):
                with qualitrace.span("search", kind="retriever") as step:
                    step.set_inputs(question)
        assert [span.inputs for span in spans.all("search")] == ["why?", "how?"]
        with pytest.raises(AssertionError, match="2 times retriever span 'search', not once, in\nturn") as caught:
            spans.one("search", kind="retriever")
    assert "├─ search [retriever]" in str(caught.value)


def test_what_cannot_be_recorded_is_said(tracing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings beside the app's own, and the switch that keeps OpenTelemetry from making spans."""
    with (
        pytest.raises(RuntimeError, match="tracing runs already, with settings of its own: capture"),
        record_spans(capture="none"),
    ):
        pass
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(RuntimeError, match="is OTEL_SDK_DISABLED set"), record_spans():
        pass


def test_json_that_is_nested_too_deep() -> None:
    """It is shown as the text that it is, and costs no other span."""
    deep = "[" * 100_000
    with record_spans(instrument=()) as spans:
        with qualitrace.span("deep") as step:
            step.set_attribute("input.mime_type", "application/json")
            step.set_attribute("input.value", deep)
        with qualitrace.span("other"):
            pass
        assert spans.one("deep").inputs == spans.one("deep").attributes["input.value"]
        assert len(spans.all("other")) == 1
