"""A stream whose provider reported no tokens gets estimated ones, and its span says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracing.utils import aggregate_usage_from_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qualitrace_collector.convert import convert
from support.otlp import span
from support.pieces import piece_of, pieces_in

RECORDINGS = Path(__file__).parents[1] / "recordings"

QUESTION = "How long is the warranty of a tent?"  # 35 characters
ANSWER = "二年間の保証があります。"  # 12 characters of 3 bytes


def turn(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def call(parent: int = 0, number: int = 2, **values: Any) -> Span:
    names: dict[str, Any] = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4o-mini"}
    texts: dict[str, Any] = {
        "gen_ai__input__messages": turn("user", QUESTION),
        "gen_ai__output__messages": turn("assistant", ANSWER),
    }
    return span(1, number, parent, **(names | texts | values))


def usage_of(*spans: Span) -> tuple[tuple[int, int] | None, list[str]]:
    """Return the trace's tokens as MLflow adds them up, and the marks of its spans."""
    stored: Any = convert(piece_of(*spans), "shop").spans
    usage: Any = aggregate_usage_from_spans(stored)
    marks = [mark for item in stored if (mark := item.get_attribute("gen_ai.usage.estimated"))]
    return (usage["input_tokens"], usage["output_tokens"]) if usage else None, marks


@pytest.mark.parametrize(
    "sign",
    [
        {"gen_ai__request__stream": True},
        {"llm__invocation_parameters": '{"stream": true}'},
        {"gen_ai__response__time_to_first_chunk": 0.3},
        {"gen_ai__client__operation__time_to_first_chunk": 0.3},
        {"ai__response__msToFirstChunk": 300},
    ],
)
def test_stream_is_estimated(sign: dict[str, Any]) -> None:
    """Four bytes make a token, of the texts alone, and the span is marked."""
    assert usage_of(call(**sign)) == ((9, 9), ["true"])


@pytest.mark.parametrize("event", ["First Token Stream Event", "llm.content.completion.chunk"])
def test_stream_is_known_by_its_chunks(event: str) -> None:
    """As OpenInference and OpenLLMetry note them."""
    streamed = call()
    streamed.events.add(name=event)
    assert usage_of(streamed) == ((9, 9), ["true"])


def test_stream_is_known_by_what_recorded_it() -> None:
    """Also when the span is read again, from MLflow, which stores no scope, as a log record comes late."""
    streamed = call()
    first = convert(piece_of(streamed, scope="@opentelemetry/instrumentation-openai"), "shop").spans
    late = LogRecord(trace_id=streamed.trace_id, span_id=streamed.span_id, event_name="note", time_unix_nano=1)
    again = [found for found in convert(piece_of(span(1, 3, 2), logs=(late,)), "shop", first).spans if found.inputs]
    for stored in (first, again):
        usage: Any = aggregate_usage_from_spans(list(stored))
        assert (usage["input_tokens"], usage["output_tokens"]) == (9, 9)


def test_recorded_stream_of_langchain() -> None:
    """Its parameters say that it is not a stream; its message is made of chunks."""
    path = RECORDINGS / "langchain__openinference__rag_async_stream.otlp.pb"
    (piece,) = pieces_in(ExportTraceServiceRequest.FromString(path.read_bytes()))
    usage: Any = aggregate_usage_from_spans(convert(piece, "shop").spans)
    assert min(usage["input_tokens"], usage["output_tokens"]) > 0


def test_reported_tokens_stay() -> None:
    """What the provider reports is not touched, nor is a call that is not a stream, or failed."""
    reported = {"gen_ai__usage__input_tokens": 21, "gen_ai__usage__output_tokens": 9}
    assert usage_of(call(gen_ai__request__stream=True, **reported)) == ((21, 9), [])
    assert usage_of(call()) == (None, [])
    broken = call(gen_ai__request__stream=True)
    broken.status.code = Status.STATUS_CODE_ERROR
    assert usage_of(broken) == (None, [])


def test_sum_above_goes_first() -> None:
    """An agent that reports the tokens of its calls is believed."""
    counts: dict[str, Any] = {"gen_ai__usage__input_tokens": 21, "gen_ai__usage__output_tokens": 9}
    agent = span(1, 1, gen_ai__operation__name="invoke_agent", **counts)
    assert usage_of(agent, call(parent=1, gen_ai__request__stream=True)) == ((21, 9), [])


def test_image_counts_no_letters() -> None:
    """A picture in the question does not count by its length as text."""
    parts = [{"type": "text", "content": QUESTION}, {"type": "blob", "content": "iVBORw0KGgo" * 10_000}]
    asked = json.dumps([{"role": "user", "parts": parts}])
    tokens, _ = usage_of(call(gen_ai__request__stream=True, gen_ai__input__messages=asked))
    assert tokens
    assert tokens[0] < 100


def test_estimate_is_made_anew_for_late_spans() -> None:
    """When more spans of the trace come, the estimate of a stored span is kept as an estimate."""
    first = convert(piece_of(call(gen_ai__request__stream=True)), "shop")
    later = convert(piece_of(call(number=3, gen_ai__request__stream=True)), "shop", first.spans)
    assert not later.renewed
    stored: Any = [*first.spans, *later.spans]
    usage: Any = aggregate_usage_from_spans(stored)
    assert (usage["input_tokens"], usage["output_tokens"]) == (18, 18)
