"""Real clients' recordings and built traces become MLflow spans and samples."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import ConvertedTrace, build_sample, convert
from qualitrace_collector.convert.trace import mlflow_trace_id, service_of
from qualitrace_collector.sample import Sample
from support.otlp import attributes, chat_span, rag_trace, request, retriever_span, span, span_id, trace_id
from support.pieces import pieces_in
from support.recordings import RECORDINGS


def converted(spans: list[Span], logs: tuple[LogRecord, ...] = ()) -> ConvertedTrace:
    (piece,) = pieces_in(request(spans))
    return convert(replace(piece, logs=logs), service_of(piece))


def sample_of(spans: list[Span]) -> Sample:
    trace = converted(spans)
    return build_sample(trace.spans, trace.service)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name.removesuffix(".otlp.pb"))
def test_a_real_clients_question_answer_and_documents_reach_the_sample(recording: Path):
    """What the recorded client really sent is what the judges get to see."""
    truth = json.loads(recording.with_name(recording.name.replace(".otlp.pb", ".expect.json")).read_text())
    pieces = pieces_in(ExportTraceServiceRequest.FromString(recording.read_bytes()))
    traces = [convert(piece, service_of(piece)) for piece in pieces]
    samples = [build_sample(trace.spans, trace.service) for trace in traces]
    assert all(trace.is_genai for trace in traces)
    assert any(truth["prompt"] in sample.inputs for sample in samples)
    assert any(truth["answer"] in sample.outputs for sample in samples)
    if truth["in_payload"].get("documents_on_retriever_span"):
        assert any(set(truth["documents"]) <= set(sample.passages) for sample in samples)
    if truth["in_payload"].get("tool_result"):
        assert any("18°C" in call.result for sample in samples for call in sample.tool_calls)


def test_an_http_root_without_content_takes_question_and_answer_from_the_model_call():
    """The request's span says nothing about GenAI; its children do."""
    sample = sample_of(rag_trace(1, question="When?", answer="In May.", passages=["It opens in May.", "Closed."]))
    assert (sample.inputs, sample.outputs) == ("When?", "In May.")
    assert sample.passages == ("It opens in May.", "Closed.")
    assert sample.passages_source == "retriever"
    assert (sample.metadata["service"], sample.metadata["model"]) == ("shop", "gpt-4o-mini")


def test_a_root_without_content_shows_what_was_asked_and_answered():
    """MLflow's lists show the root's inputs and outputs: an HTTP request's would be empty."""
    trace = converted(rag_trace(1, question="When?", answer="In May.", passages=["It opens in May."]))
    root = next(item for item in trace.spans if item.parent_id is None)
    assert (root.inputs, root.outputs) == ("When?", "In May.")


def test_a_root_with_content_keeps_it():
    """What the application recorded itself is never replaced."""
    spans = rag_trace(1, question="When?", answer="In May.", passages=["It opens in May."])
    spans[0].attributes.extend(attributes({"input.value": "own", "output.value": "mine"}))
    root = next(item for item in converted(spans).spans if item.parent_id is None)
    assert (root.inputs, root.outputs) == ("own", "mine")


@pytest.mark.parametrize(
    "prompt",
    [
        "Answer from the context.\nContext:\nIt opens in May.\n\nParking is free.\n\nQuestion: When?",
        "<context>It opens in May.\n\nParking is free.</context>\nWhen?",
        "Use these sources.\n[1] It opens in May.\n[2] Parking is free.\n\nQuestion: When?",
    ],
)
def test_without_a_retriever_the_passages_come_from_the_prompt(prompt: str):
    """Material marked as such in the prompt is what the answer should rest on; the question is not part of it."""
    sample = sample_of([chat_span(1, 1, question=prompt, answer="In May.")])
    assert sample.passages_source == "prompt"
    assert sample.inputs.endswith("When?")
    assert "May" not in sample.inputs
    text = " ".join(sample.passages)
    assert "It opens in May." in text
    assert "Parking is free." in text
    assert "When?" not in text


def test_a_prompt_without_material_has_no_passages():
    """A plain question gives nothing to be grounded in."""
    sample = sample_of([chat_span(1, 1, question="What is the capital of France?", answer="Paris.")])
    assert (sample.passages, sample.passages_source) == ((), "none")


def test_a_retriever_on_its_own_has_no_answer():
    """What it found is material; judging it against itself would always pass."""
    sample = sample_of([retriever_span(1, 1, 0, query="When?", passages=["It opens in May."])])
    assert (sample.inputs, sample.outputs) == ("When?", "")


def test_session_user_and_prompt_version_travel_with_the_sample():
    """What the application said about the request stays with its judgement."""
    values = {"session__id": "s1", "user__id": "u1", "qualitrace__prompt__version": "v7"}
    sample = sample_of([chat_span(1, 1, question="Q?", answer="A.", **values)])
    assert sample.metadata["session"] == "s1"
    assert sample.metadata["user"] == "u1"
    assert sample.metadata["prompt_version"] == "v7"


def test_a_trace_without_any_genai_span_is_recognised():
    """A health check is not a GenAI trace; a database call below a chat is part of one."""
    assert not converted([span(1, 1, name="GET /healthz", http__route="/healthz")]).is_genai
    assert converted([span(1, 1), chat_span(1, 2, 1, question="Q?", answer="A.")]).is_genai


def test_an_agent_that_is_only_made_is_no_run():
    """AutoGen traces the making of an agent by itself, before anything is asked."""
    made = span(1, 1, name="create_agent helper", gen_ai__operation__name="create_agent", gen_ai__agent__name="helper")
    assert not converted([made]).is_genai
    run = converted([made, chat_span(1, 2, 1, question="Q?", answer="A.")])
    assert run.is_genai
    assert len(run.stored) == 2


def test_log_records_become_events_of_their_span():
    """Content that travels in log records is read as if it stood on the span."""
    body = AnyValue(kvlist_value=KeyValueList(values=attributes({"content": "Why?"})))
    log = LogRecord(trace_id=trace_id(1), span_id=span_id(1), event_name="gen_ai.user.message", body=body)
    trace = converted([span(1, 1, gen_ai__operation__name="chat")], logs=(log,))
    assert build_sample(trace.spans, "shop").inputs == "Why?"


def test_a_circle_of_parents_ends():
    """Two spans that name each other as parents are converted, not followed forever."""
    spans = [
        chat_span(1, 1, 2, question="Q?", answer="A."),
        chat_span(1, 2, 1, question="Q?", answer="A."),
    ]
    assert sample_of(spans).inputs == "Q?"


def test_the_service_is_that_of_the_local_root():
    """In a trace over two services the one that was called first names it."""
    message = request([span(1, 1)], service="front")
    message.resource_spans.extend(request([span(1, 2, 1)], service="back").resource_spans)
    (piece,) = pieces_in(message)
    assert service_of(piece) == "front"
    assert mlflow_trace_id(piece) == "tr-" + trace_id(1).hex()
