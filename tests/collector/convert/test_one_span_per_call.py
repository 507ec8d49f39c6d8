"""Each call of a model is one span and is counted once, though several libraries saw it."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import CollectorRegistry

from qualitrace_collector.convert import convert, convert_all
from qualitrace_collector.convert.content import question_text
from qualitrace_collector.piece import Piece, SpanRecord
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from support.mlflow_db import converted
from support.otlp import SECOND, START, attributes, chat_span, span

USAGE = "mlflow.chat.tokenUsage"


def piece_of(*spans: tuple[Span, str]) -> Piece:
    """Make a piece of spans, each with the name of the scope that recorded it."""
    records = tuple(SpanRecord(item, Resource(), InstrumentationScope(name=scope)) for item, scope in spans)
    return Piece(trace_id=spans[0][0].trace_id, spans=records, logs=(), root_seen=True, positions=frozenset[int]())


def types_of(piece: Piece) -> dict[int, str]:
    return {int(item.span_id, 16): item.span_type for item in convert(piece, "shop").spans}


def bare_call(trace: int, number: int, parent: int = 0, **values: Any) -> Span:
    """Build a call as the provider's own client records it: counts, but no content."""
    names = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4o-mini"}
    counts = {"gen_ai__usage__input_tokens": 14, "gen_ai__usage__output_tokens": 9}
    return span(trace, number, parent, **(names | counts | values))


def test_a_framework_and_its_provider_make_one_call():
    """The inner span is the call and gets the content that only the outer one has; the outer one becomes a chain."""
    outer = chat_span(1, 1, question="Why?", answer="So.")
    spans = convert(piece_of((outer, "framework"), (bare_call(1, 2, 1), "client")), "shop").spans
    assert [item.span_type for item in spans] == ["CHAIN", "CHAT_MODEL"]
    assert "Why?" in str(spans[1].inputs)
    assert "So." in str(spans[1].outputs)
    assert (spans[0].get_attribute(USAGE), spans[1].get_attribute(USAGE)["output_tokens"]) == (None, 9)


def test_a_call_inside_a_tool_is_a_call_of_its_own():
    """A model that calls a tool which asks a model is two calls."""
    tool = span(1, 2, 1, gen_ai__operation__name="execute_tool")
    inner = chat_span(1, 3, 2, question="Sum?", answer="4")
    outer = chat_span(1, 1, question="Why?", answer="So.")
    assert types_of(piece_of((outer, "a"), (tool, "a"), (inner, "a"))) == {1: "CHAT_MODEL", 2: "TOOL", 3: "CHAT_MODEL"}


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(("pause", "calls"), [(0.1, 1), (2, 2)])
def test_a_stream_that_is_read_after_the_framework_has_handed_it_up_is_one_call(
    pause: float, calls: int, counted: bool
):
    """LlamaIndex's span ends before the client's begins. Two calls with a pause between them are two."""
    framework = chat_span(1, 2, 1, question="Why?", answer="So.", seconds=1)
    later = START + int((1 + pause) * SECOND)
    client = chat_span(1, 3, 1, question="Why?", answer="So.", start=later, seconds=3)
    for call in (framework, client):
        kept = [item for item in call.attributes if counted or "usage" not in item.key]
        del call.attributes[:]
        call.attributes.extend(kept)
    types = types_of(piece_of((span(1, 1), "app"), (framework, "framework"), (client, "client")))
    assert list(types.values()).count("CHAT_MODEL") == calls


def test_a_span_around_several_calls_lends_them_nothing():
    """What a whole loop was asked is not what each of its calls was asked."""
    outer = span(1, 1, ai__operationId="ai.generateText", ai__prompt='{"prompt": "Why?"}', ai__response__text="So.")
    calls = [(bare_call(1, number, 1), "client") for number in (2, 3)]
    spans = convert(piece_of((outer, "ai"), *calls), "shop").spans
    assert [item.span_type for item in spans] == ["CHAIN", "CHAT_MODEL", "CHAT_MODEL"]
    assert [item.inputs for item in spans[1:]] == [None, None]


def test_two_instrumentors_side_by_side_make_one_call():
    """Spans of one response under one parent are united, the shorter one being the call."""
    recorded = chat_span(1, 2, 1, question="Why?", answer="So.", gen_ai__response__id="r1", seconds=2)
    bare = bare_call(1, 3, 1, gen_ai__response__id="r1")
    assert types_of(piece_of((span(1, 1), "app"), (recorded, "a"), (bare, "b"))) == {
        1: None,
        2: "CHAIN",
        3: "CHAT_MODEL",
    }


def test_the_same_library_calling_twice_is_two_calls():
    """Two calls that a cache answers alike are still two."""
    first = chat_span(1, 2, 1, question="Why?", answer="So.", gen_ai__response__id="r1", seconds=2)
    second = chat_span(1, 3, 1, question="Why?", answer="So.", gen_ai__response__id="r1")
    kinds = types_of(piece_of((span(1, 1), "app"), (first, "a"), (second, "a")))
    assert kinds == {1: None, 2: "CHAT_MODEL", 3: "CHAT_MODEL"}


def test_a_call_recorded_in_two_traces_counts_once():
    """Without a common parent each instrumentor makes a trace; the one with content is the call."""
    recorded = piece_of((chat_span(1, 1, question="Why?", answer="So.", gen_ai__response__id="r1"), "instrumentor"))
    bare = piece_of((bare_call(2, 2, gen_ai__response__id="r1"), "client"))
    traces, failures = convert_all([(bare, "shop"), (recorded, "shop")])
    spans = {trace.trace_id[-1]: trace.spans[0] for trace in traces}
    assert failures == []
    assert (spans["1"].span_type, spans["2"].span_type) == ("CHAT_MODEL", "CHAIN")
    assert spans["1"].get_attribute(USAGE)["output_tokens"] == 9  # the client counts on the wire
    assert spans["2"].get_attribute(USAGE) is None


def test_calls_at_different_times_stay_apart():
    """The same response id in another hour is another call."""
    recorded = piece_of((chat_span(1, 1, question="Why?", answer="So.", gen_ai__response__id="r1"), "instrumentor"))
    later = bare_call(2, 2, gen_ai__response__id="r1", start=START + 3600 * SECOND)
    traces, _ = convert_all([(piece_of((later, "client")), "shop"), (recorded, "shop")])
    assert [trace.spans[0].span_type for trace in traces] == ["CHAT_MODEL", "CHAT_MODEL"]


def framework_call(trace: int, number: int, parent: int = 0, **values: Any) -> Span:
    """Build a call as OpenInference's callbacks for LangChain record it: content and counts, but no response id."""
    names = {"openinference__span__kind": "LLM", "llm__model_name": "gpt-4o-mini"}
    counts = {"llm__token_count__prompt": 14, "llm__token_count__completion": 8}
    content = {"input__value": "Why?", "output__value": "So."}
    return span(trace, number, parent, seconds=2, **(names | counts | content | values))


VERSIONED = {"gen_ai__response__model": "gpt-4o-mini-2026-01-01", "gen_ai__response__id": "r1"}


def types_apart(first: Piece, second: Piece, services: tuple[str, str] = ("shop", "shop")) -> list[str | None]:
    """Convert two traces that are due together; return the types of their first spans."""
    traces, failures = convert_all([(first, services[0]), (second, services[1])])
    assert failures == []
    return [trace.spans[0].span_type for trace in traces]


def test_a_client_below_a_callback_that_is_not_current_is_no_second_call():
    """A provider's span that got a trace of its own is recognised by its counts, texts and time, as frameworks hide ids."""
    provider = chat_span(2, 2, question="Why?", answer="So.", **VERSIONED)
    outer, inner = piece_of((framework_call(1, 1), "langchain")), piece_of((provider, "openai"))
    assert types_apart(outer, inner) == ["LLM", "CHAIN"]


@pytest.mark.parametrize(
    ("differs", "services"),
    [
        ({"answer": "No."}, ("shop", "shop")),
        ({"question": "How?"}, ("shop", "shop")),
        ({"gen_ai__usage__output_tokens": 9}, ("shop", "shop")),
        ({"gen_ai__request__model": "gpt-5"}, ("shop", "shop")),
        ({"start": START + SECOND, "seconds": 5.0}, ("shop", "shop")),
        ({}, ("shop", "search")),
    ],
    ids=["answer", "question", "counts", "model", "time", "service"],
)
def test_another_traces_call_that_differs_is_another_call(differs: dict[str, Any], services: tuple[str, str]):
    """Two traces record one call only if texts, counts, model, time and service agree."""
    other = piece_of((chat_span(2, 2, **({"question": "Why?", "answer": "So."} | differs)), "openai"))
    kinds = types_apart(piece_of((framework_call(1, 1), "langchain")), other, services)
    assert kinds == ["LLM", "CHAT_MODEL"]


def test_a_bare_call_of_other_counts_is_another_call():
    """A call without content is taken for a recorded one only if that counts the same."""
    bare = piece_of((bare_call(2, 2), "client"))
    assert types_apart(piece_of((framework_call(1, 1), "langchain")), bare) == ["LLM", "CHAT_MODEL"]
    same = piece_of((bare_call(2, 2, gen_ai__usage__output_tokens=8), "client"))
    assert types_apart(piece_of((framework_call(1, 1), "langchain")), same) == ["LLM", "CHAIN"]


def test_a_framework_beside_its_provider_is_one_call_though_it_hides_the_id():
    """Under one parent, too, counts and texts show that both saw one response."""
    provider = chat_span(1, 3, 1, question="Why?", answer="So.", **VERSIONED)
    piece = piece_of((span(1, 1), "app"), (framework_call(1, 2, 1), "langchain"), (provider, "openai"))
    assert types_of(piece) == {1: None, 2: "CHAIN", 3: "CHAT_MODEL"}


def test_a_record_of_a_streams_end_and_the_clients_span_are_one_call():
    """Logfire's record has no length and may come after the client's span, in a trace of its own."""
    request = span(1, 1, logfire__span_type="span", gen_ai__operation__name="chat", gen_ai__input__messages='["Why?"]')
    client = bare_call(1, 2, 1, gen_ai__response__id="r1", gen_ai__usage__output_tokens=8)
    record = chat_span(2, 3, question="Why?", answer="So.", start=START + 3 * SECOND // 2, seconds=0)
    streamed = piece_of((request, "logfire.anthropic"), (client, "anthropic"))
    traces, _ = convert_all([(streamed, "shop"), (piece_of((record, "logfire.anthropic")), "shop")])
    assert [item.span_type for trace in traces for item in trace.spans] == ["CHAIN", "CHAIN", "CHAT_MODEL"]


def test_mastras_inference_is_the_call_with_the_content_of_its_step():
    """The step around it has the messages and the tool calls, the inference counts, and an empty text."""
    calls = '{"text": "", "toolCalls": [{"toolName": "weather", "args": {"city": "Oslo"}}]}'
    step_content = {
        "mastra.model_step.input": '[{"role": "user", "content": "Why?"}]',
        "mastra.model_step.output": calls,
    }
    step = span(1, 1, gen_ai__operation__name="agent_step", mastra__span__type="model_step", **step_content)
    empty = '[{"role": "assistant", "parts": [{"type": "text", "content": ""}]}]'
    call = bare_call(1, 2, 1, mastra__span__type="model_inference", gen_ai__output__messages=empty)
    outer, inner = convert(piece_of((step, "mastra"), (call, "mastra")), "shop").spans
    assert (outer.span_type, inner.span_type, inner.outputs) == ("CHAIN", "CHAT_MODEL", json.loads(calls))
    assert question_text(inner.inputs) == "Why?"


def test_an_agents_sum_of_tokens_gives_way_to_its_calls():
    """Sums above calls, which some agents keep over their whole life, are not added to the calls'."""
    agent = span(1, 1, gen_ai__operation__name="invoke_agent", gen_ai__usage__input_tokens=900)
    spans = convert(piece_of((agent, "a"), (chat_span(1, 2, 1, question="Why?", answer="So."), "a")), "shop").spans
    assert [item.get_attribute(USAGE) and item.get_attribute(USAGE)["input_tokens"] for item in spans] == [None, 14]


def test_embeddings_are_priced_but_are_no_chat_tokens():
    """Their tokens reach the metrics, not MLflow's sum of the chat's tokens."""
    values = {"gen_ai__operation__name": "embeddings", "gen_ai__request__model": "text-embedding-3-small"}
    embedding = span(1, 1, gen_ai__usage__input_tokens=50, **values)
    (found,) = convert(piece_of((embedding, "a")), "shop").spans
    registry = CollectorRegistry()
    TraceMetrics(registry).observe([StoredTrace(trace_id="tr-1", service="shop", spans=[found])])
    labels = {"service": "shop", "model": "text-embedding-3-small", "type": "input"}
    assert (found.span_type, found.get_attribute(USAGE)) == ("EMBEDDING", None)
    assert found.get_attribute("mlflow.llm.cost")["total_cost"] > 0
    assert registry.get_sample_value("qualitrace_tokens_total", labels) == 50


def test_a_hostile_depth_of_calls_takes_no_longer_than_a_flat_trace():
    """Thousands of calls, each within the other, or all at the end of a long chain, are read in seconds."""
    depth = 3000
    nested = [chat_span(1, number, number - 1, question="Q?", answer="A.") for number in range(1, depth + 1)]
    chain = [span(1, number, number - 1, openinference__span__kind="CHAIN") for number in range(1, depth + 1)]
    calls = [chat_span(1, depth + number, depth, question="Q?", answer="A.") for number in range(1, depth + 1)]
    started = time.process_time()
    converted(nested, "shop")
    converted([*chain, *calls], "shop")
    assert time.process_time() - started < 20  # minutes, if each span looked at all others


def test_two_tenants_or_replicas_have_no_call_in_common():
    """Not though their services are named alike, and each has a call like the other's at the same time."""
    outer, inner = framework_call(1, 1), chat_span(2, 2, question="Why?", answer="So.", **VERSIONED)

    def types(first: SpanRecord, second: SpanRecord) -> list[str | None]:
        one, other = (replace(piece_of((record.span, "")), spans=(record,)) for record in (first, second))
        return types_apart(one, other)

    def record(item: Span, scope: str, tenant: str = "", instance: str = "") -> SpanRecord:
        resource = Resource(attributes=attributes({"service.instance.id": instance}))
        return SpanRecord(item, resource, InstrumentationScope(name=scope), tenant)

    assert types(record(outer, "langchain", "a"), record(inner, "openai", "b")) == ["LLM", "CHAT_MODEL"]
    replicas = record(outer, "langchain", instance="one"), record(inner, "openai", instance="two")
    assert types(*replicas) == ["LLM", "CHAT_MODEL"]
    assert types(record(outer, "langchain", "a"), record(inner, "openai", "a")) == ["LLM", "CHAIN"]


def test_of_two_calls_of_equal_times_one_remains():
    """Each lies within the other's time, as it does with clocks of milliseconds; together they count once."""
    outer = framework_call(1, 1)
    inner = chat_span(2, 1, question="Why?", answer="So.", seconds=2, **VERSIONED)
    assert sorted(map(str, types_apart(piece_of((outer, "langchain")), piece_of((inner, "openai"))))) == [
        "CHAIN",
        "CHAT_MODEL",
    ]


def test_a_recorded_call_stands_for_one_bare_call_only():
    """Of two users' calls at the same time that count alike, the one that nobody else recorded remains a call."""
    recorded = piece_of((framework_call(1, 1), "langchain"))
    bare = [piece_of((bare_call(trace, 2, gen_ai__usage__output_tokens=8), "client")) for trace in (2, 3)]
    traces, _ = convert_all([(piece, "shop") for piece in (recorded, *bare)])
    assert [trace.spans[0].span_type for trace in traces] == ["LLM", "CHAIN", "CHAT_MODEL"]


def test_a_late_call_like_a_stored_one_is_a_call_of_its_own():
    """MLflow does not store who recorded a span, so only a response's id shows that a stored and a late one are one."""
    first = chat_span(1, 3, 1, question="Why?", answer="So.")
    late = chat_span(1, 2, 1, question="Why?", answer="So.", seconds=3)
    stored = convert(piece_of((span(1, 1), "app"), (first, "openai")), "shop").spans
    assert [item.span_type for item in convert(piece_of((late, "openai")), "shop", stored).spans] == ["CHAT_MODEL"]


def test_a_bare_call_without_counts_is_no_other_traces_call():
    """Model and time alone do not show that two traces have one call; an error of both does."""
    bare = span(2, 2, gen_ai__operation__name="chat", gen_ai__request__model="gpt-4o-mini")
    recorded = span(
        1, 1, openinference__span__kind="LLM", llm__model_name="gpt-4o-mini", input__value="Why?", seconds=2
    )
    assert types_apart(piece_of((recorded, "langchain")), piece_of((bare, "client"))) == ["LLM", "CHAT_MODEL"]
    for item in (bare, recorded):
        item.status.code = Status.STATUS_CODE_ERROR
    assert types_apart(piece_of((recorded, "langchain")), piece_of((bare, "client"))) == ["LLM", "CHAIN"]


def test_long_conversations_that_look_alike_are_read_once_each():
    """Hundreds of simultaneous calls, two libraries' in turn, are compared in seconds however much was recorded."""
    calls: list[tuple[Span, str]] = []
    for number in range(2, 302):
        turns = [{"role": "user", "parts": [{"type": "text", "content": f"Q{number}"}]}] * 200
        call = bare_call(1, number, 1, start=START - number, gen_ai__input__messages=json.dumps(turns))
        calls.append((call, "ab"[number % 2]))
    started = time.process_time()
    convert(piece_of((span(1, 1), "app"), *calls), "shop")
    assert time.process_time() - started < 5
