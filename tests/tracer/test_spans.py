"""The app's own spans: `span`, its kinds and its handle, as a collector receives them."""

import asyncio
import json
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import trace as otel

import qualitrace


def test_kinds(tracing: Any) -> None:
    """Each kind carries OpenInference's name and OpenTelemetry's operation."""
    for kind in ("chain", "retriever", "tool", "agent"):
        with qualitrace.span(kind, kind=kind):
            pass
    spans = tracing.flushed()
    kinds = {name: span.attributes["openinference.span.kind"] for name, span in spans.items()}
    assert kinds == {"chain": "CHAIN", "retriever": "RETRIEVER", "tool": "TOOL", "agent": "AGENT"}
    operations = {name: span.attributes.get("gen_ai.operation.name") for name, span in spans.items()}
    assert operations == {"chain": None, "retriever": "retrieval", "tool": "execute_tool", "agent": "invoke_agent"}


def test_inputs_and_outputs(tracing: Any) -> None:
    """Text is recorded as text, structures as JSON, each with its MIME type."""
    with qualitrace.span("step") as span:
        span.set_inputs("why?")
        span.set_outputs({"answer": 42})
        span.set_attribute("model.temperature", 0.5)
        span.set_attribute("options", {"a": [1]})
    attributes = tracing.flushed()["step"].attributes
    assert (attributes["input.value"], attributes["input.mime_type"]) == ("why?", "text/plain")
    assert json.loads(attributes["output.value"]) == {"answer": 42}
    assert attributes["output.mime_type"] == "application/json"
    assert attributes["model.temperature"] == 0.5
    assert json.loads(attributes["options"]) == {"a": [1]}


def test_tool(tracing: Any) -> None:
    """A tool's name, arguments and result are in OpenTelemetry's attributes."""
    with qualitrace.span("weather", kind="tool") as span:
        span.set_inputs({"city": "Paris"})
        span.set_outputs("rain")
    attributes = tracing.flushed()["weather"].attributes
    assert attributes["gen_ai.tool.name"] == "weather"
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"city": "Paris"}
    assert attributes["gen_ai.tool.call.result"] == "rain"


@pytest.mark.parametrize("inputs", ["where?", {"k": 3, "query": "where?"}])
def test_retriever(tracing: Any, inputs: Any) -> None:
    """A retriever's query is the first text of its inputs, and its documents carry their text."""
    with qualitrace.span("search", kind="retriever") as span:
        span.set_inputs(inputs)
        span.set_outputs([("Paris", 0.5)])
    received = tracing.flushed()["search"]
    assert received.attributes["gen_ai.retrieval.query.text"] == "where?"
    assert received.json("output.value")[0]["page_content"] == "Paris"
    assert received.json("gen_ai.retrieval.documents") == [{"content": "Paris", "score": 0.5}]


def test_nesting(tracing: Any) -> None:
    """Spans nest, and the trace id that the app reads is the one that arrives."""
    assert qualitrace.current_trace_id() is None
    with qualitrace.span("outer"), qualitrace.span("inner"):
        trace_id = qualitrace.current_trace_id()
    spans = tracing.flushed()
    assert spans["inner"].parent_id == spans["outer"].span_id
    assert spans["inner"].trace_id == spans["outer"].trace_id == trace_id


def test_current_span(tracing: Any) -> None:
    """Code far from the step adds to it: as its kind, also below a span of a library that has ended."""
    with qualitrace.span("search", kind="retriever"):
        otel.get_tracer("library").start_span("theirs").end()
        current = qualitrace.current_span()
        current.set_outputs(["Paris"])
        current.set_attribute("index", "cities")
    assert tracing.flushed()["search"].json("output.value")[0]["page_content"] == "Paris"
    assert tracing.flushed()["search"].attributes["index"] == "cities"


def test_current_span_of_a_library(tracing: Any) -> None:
    """Inside a library's span the helpers write to that one; outside of any they write nowhere."""
    qualitrace.current_span().set_attribute("lost", 1)
    with qualitrace.span("ours"), otel.get_tracer("library").start_as_current_span("theirs"):
        qualitrace.current_span().set_attribute("found", 1)
    spans = tracing.flushed()
    assert (spans["theirs"].attributes["found"], "found" in spans["ours"].attributes) == (1, False)


def test_tags_and_metadata(tracing: Any) -> None:
    """Tags are MLflow's, with or without values; metadata adds up over calls, also from elsewhere."""
    with qualitrace.span("step") as span:
        span.set_tags({"plan": "gold", "seats": 3})
        span.set_tags(["beta"])
        span.set_metadata({"index": "cities", "k": 3})
        qualitrace.current_span().set_metadata({"k": 4})
    received = tracing.flushed()["step"]
    tags = {key: value for key, value in received.attributes.items() if key.startswith("mlflow.traceTag.")}
    assert tags == {"mlflow.traceTag.plan": "gold", "mlflow.traceTag.seats": "3", "mlflow.traceTag.beta": "true"}
    assert received.json("metadata") == {"index": "cities", "k": 4}


def test_a_flood_of_tags_leaves_the_content(tracing: Any) -> None:
    """OpenTelemetry drops the oldest attributes of a span that has too many."""
    with qualitrace.span("step") as span:
        span.set_inputs("why?")
        span.set_tags({str(number): number for number in range(1_000)})
    assert tracing.flushed()["step"].attributes["input.value"] == "why?"


def test_concurrent_tasks(tracing: Any) -> None:
    """Spans of tasks that run at the same time do not mix."""

    async def task(name: str, barrier: asyncio.Barrier) -> None:
        with qualitrace.span(name):
            await barrier.wait()
            with qualitrace.span(f"{name}-child"):
                await barrier.wait()

    async def main() -> None:
        barrier = asyncio.Barrier(2)
        await asyncio.gather(task("a", barrier), task("b", barrier))

    asyncio.run(main())
    spans = tracing.flushed()
    assert [spans[f"{name}-child"].parent_id for name in "ab"] == [spans[name].span_id for name in "ab"]


@pytest.mark.parametrize("error", [KeyError("lost"), asyncio.CancelledError(), RuntimeError("\ud800")])
def test_error_passes_unchanged(tracing: Any, error: BaseException) -> None:
    """The app's error comes out as the same object, and the span records it."""
    with pytest.raises(type(error)) as caught, qualitrace.span("step"):
        raise error
    assert caught.value is error
    span = tracing.flushed()["step"]
    assert (span.status, span.events) == (2, ["exception"])
    assert span.message.startswith(type(error).__name__)


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit()])
def test_leaving_is_no_error(tracing: Any, error: BaseException) -> None:
    """An exit of the program or of a generator is not a failure of the step."""
    with pytest.raises(type(error)), qualitrace.span("step"):
        raise error
    assert tracing.flushed()["step"].status == 0


def test_unknown_kind_at_run_time(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A misspelt kind in running code is warned about, with the kinds there are, and breaks nothing."""
    with qualitrace.span("step", kind="retreiver"):  # type: ignore[arg-type]
        pass
    assert tracing.flushed()["step"].attributes["openinference.span.kind"] == "CHAIN"
    assert "unknown kind 'retreiver'; kinds: chain, retriever, tool, agent" in caplog.text


def test_a_kind_of_another_type(tracing: Any) -> None:
    """Not even a kind that cannot be hashed raises into the app."""
    with qualitrace.span("step", kind=["tool"]):  # type: ignore[arg-type]
        pass
    assert tracing.flushed()["step"].attributes["openinference.span.kind"] == "CHAIN"


def test_iterators_are_left_alone(tracing: Any) -> None:
    """Recording a stream as output does not read it: the app still gets every chunk."""
    stream = iter("abc")
    with qualitrace.span("step") as span:
        span.set_outputs(stream)
    assert list(stream) == ["a", "b", "c"]
    assert "output.value" not in tracing.flushed()["step"].attributes


def test_odd_values_do_not_lose_the_batch(tracing: Any) -> None:
    """Names and values that OTLP cannot carry neither raise nor take other spans with them."""
    with qualitrace.span("odd \ud800") as span:
        span.set_inputs("\ud800")
        span.set_attribute("huge", 2**200)
        span.set_attribute("none", None)
        span.set_attribute("text", "\udfff")
    with qualitrace.span("next"):
        pass
    assert set(tracing.flushed()) == {"odd ?", "next"}


def test_without_init() -> None:
    """Without a tracer running everything works and does nothing."""
    with qualitrace.span("step", kind="tool") as span:
        span.set_inputs("x")
        span.set_outputs("y")
        span.set_attribute("a", 1)
        qualitrace.current_span().set_tags(["b"])
        qualitrace.current_span().set_metadata({"c": 1})


class Unreadable(Exception):
    """An error, and a value, whose own code fails."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    __hash__ = None  # type: ignore[assignment]


def test_an_error_that_cannot_be_read_is_an_error(tracing: Any) -> None:
    """Its type says what it was."""
    with pytest.raises(Unreadable), qualitrace.span("step"):
        raise Unreadable
    span = tracing.flushed()["step"]
    assert (span.status, span.message, span.events) == (2, "Unreadable: <unreadable>", ["exception"])


def test_a_kind_that_cannot_be_read(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The block runs; the kind counts as chain."""
    with qualitrace.span("step", kind=Unreadable()):  # type: ignore[arg-type]
        pass
    assert tracing.flushed()["step"].attributes["openinference.span.kind"] == "CHAIN"
    assert "unknown kind <Unreadable" in caplog.text


def test_an_error_through_a_deep_recursion_is_recorded_by_its_innermost_frames(tracing: Any) -> None:
    """All frames of all steps would be a million lines, and take a minute."""

    @qualitrace.trace
    def descend(depth: int) -> None:
        if depth == 0:
            raise KeyError("lost")
        descend(depth - 1)

    with pytest.raises(KeyError):
        descend(150)
    tracing.flushed()
    texts = [next(text for text in span.texts if text.startswith("Traceback")) for span in tracing.received]
    assert len(texts) == 151
    assert all(text.count('File "') <= 50 and 'raise KeyError("lost")' in text for text in texts)


def test_a_block_that_ends_in_another_context_says_nothing(tracing: Any, caplog: pytest.LogCaptureFixture) -> None:
    """As in a streamed answer that the client leaves: the generator is closed wherever the server does that."""

    def body() -> Iterator[str]:
        with qualitrace.session("s1"), qualitrace.span("step"):
            yield "Pa"
            yield "ris"

    chunks = body()
    assert copy_context().run(next, chunks) == "Pa"
    chunks.close()  # type: ignore[attr-defined]
    assert tracing.flushed()["step"].attributes["session.id"] == "s1"
    assert caplog.text == ""
