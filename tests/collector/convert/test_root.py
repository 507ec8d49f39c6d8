"""The root shows what the trace is about: question, answer, session, user, failure."""

import json
from typing import Any

import pytest
from mlflow.entities import Span as MlflowSpan
from mlflow.entities import SpanStatusCode
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qualitrace_collector.convert import convert
from support.otlp import chat_span, retriever_span, span
from support.pieces import piece_of


def root_of(*spans: Span) -> MlflowSpan:
    return convert(piece_of(*spans), "shop").spans[0]


def chat(number: int, parent: int, **values: Any) -> Span:
    return chat_span(1, number, parent, question="Why?", answer="So.", **values)


def test_empty_inputs_are_filled_from_below():
    """LangChain records a streamed chain's inputs as an empty text inside a mapping."""
    root = span(1, 1, openinference__span__kind="CHAIN", input__value='{"input": ""}', output__value="Mine.")
    found = root_of(root, chat(2, 1))
    assert (found.inputs, found.outputs) == ("Why?", "Mine.")


def test_messages_without_text_ask_nothing():
    """OpenTelemetry's LangChain spans record a streamed chain's input as a message around an empty mapping."""
    empty = json.dumps([{"role": "user", "parts": [{"type": "text", "content": '{"input": ""}'}]}])
    root = span(1, 1, gen_ai__operation__name="invoke_workflow", gen_ai__input__messages=empty)
    assert root_of(root, chat(2, 1)).inputs == "Why?"


@pytest.mark.parametrize(
    "shown",
    [
        "<generator object>",
        '{"response_gen": "<generator object>", "source_nodes": []}',
        "StopEvent(result=AgentOutput(response=ChatMessage(role=<MessageRole.ASSISTANT: 'assistant'>, add...",
    ],
    ids=["generator", "response", "event"],
)
def test_an_object_that_was_handed_up_is_answered_by_the_last_call(shown: str):
    """LlamaIndex's engines end before their stream is read, and its agents' events are shown cut: the call knows."""
    engine = span(1, 1, openinference__span__kind="CHAIN", input__value="Why?", output__value=shown)
    splitter = span(1, 2, 1, openinference__span__kind="CHAIN", input__value="Text.", output__value="Text.")
    below = span(1, 3, 1, openinference__span__kind="CHAIN")
    assert root_of(engine, splitter, below, chat(4, 3)).outputs == "So."


def test_the_nearest_span_shows_what_was_asked():
    """The chain below the root knows the question better than the prompt that was made of it."""
    chain = span(1, 2, 1, openinference__span__kind="CHAIN", input__value="Own words?", output__value="Own answer.")
    found = root_of(span(1, 1), chain, chat(3, 2))
    assert (found.inputs, found.outputs) == ("Own words?", "Own answer.")


def test_what_a_retriever_found_is_no_answer():
    """A trace that only retrieved has a question and nothing that could be judged as an answer."""
    found = root_of(span(1, 1), retriever_span(1, 2, 1, query="When?", passages=["In May."]))
    assert (found.inputs, found.outputs) == ("When?", None)


def test_what_a_retriever_was_asked_is_not_what_the_user_asked():
    """Retrievers get a query made of the question; the model's call has the question itself."""
    found = root_of(span(1, 1), retriever_span(1, 2, 1, query="keywords", passages=["In May."]), chat(3, 1))
    assert found.inputs == "Why?"


def test_the_query_of_a_search_is_the_question_of_the_prompt_that_shows_its_finds():
    """LangChain's streamed chains record no input, and their prompt is a template with passages and question."""
    search = retriever_span(1, 2, 1, query="When does it open?", passages=["It opens in May.", "It closes in July."])
    prompt = "It opens in May.\n\nIt closes in July.\n\nWhen does it open?"
    found = root_of(span(1, 1), search, chat_span(1, 3, 1, question=prompt, answer="In May."))
    assert found.inputs == "When does it open?"


@pytest.mark.parametrize(
    ("prompt", "query"),
    [
        ("It opens in May.\n\nWhen does the museum open?", "museum open"),
        ("museum: It opens in May.\n\nWhen does it open?", "When does a museum open?"),
        ("Tell me: When does it open? And where is it?", "When does it open?"),
        ("Opening: in May\n\nIs it true that all of it is open today?", "Opening"),
    ],
    ids=["keywords", "another wording", "without finds", "word of a passage"],
)
def test_a_query_that_is_not_the_question_leaves_the_prompt(prompt: str, query: str):
    """Apps search by keywords and by other words; and a user's message without passages is the user's own."""
    search = retriever_span(1, 2, 1, query=query, passages=["It opens in May.", "Opening: in May"])
    assert root_of(span(1, 1), search, chat_span(1, 3, 1, question=prompt, answer="So.")).inputs == prompt


def test_the_root_comes_first_though_a_child_started_before_it():
    """Clocks of two machines differ; MLflow takes session and preview from the first."""
    root = span(1, 9, name="root")
    early = chat(2, 9)
    assert root_of(early, root).name == "root"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("session.id", 1),
        ("gen_ai.conversation.id", 2),
        ("langfuse.session.id", 2),
        ("traceloop.association.properties.session_id", 2),
        ("traceloop.association.properties.thread_id", 1),
        ("ai.telemetry.metadata.sessionId", 2),
        ("ai.settings.context.sessionId", 1),
        ("ai.settings.context.session.id", 2),
        ("langsmith.metadata.thread_id", 2),
        ("mastra.metadata.sessionId", 2),
        ("gcp.vertex.agent.session_id", 2),
    ],
)
def test_a_session_is_found_wherever_a_library_puts_it(name: str, where: int):
    """MLflow takes the session from `session.id` of the first span."""
    values = {where: {name.replace(".", "__"): "s1"}}
    found = root_of(span(1, 1, **values.get(1, {})), chat(2, 1, **values.get(2, {})))
    assert found.get_attribute("session.id") == "s1"


def test_a_session_is_found_in_metadata_that_is_json():
    """OpenInference and MLflow's LangChain spans keep a run's metadata as one JSON text."""
    found = root_of(span(1, 1), chat(2, 1, metadata='{"thread_id": "s1", "ls_provider": "openai"}'))
    assert found.get_attribute("session.id") == "s1"


def test_the_applications_session_goes_before_a_librarys_conversation():
    """Pydantic AI makes up a conversation for each run; the application's own id is the session."""
    found = root_of(span(1, 1, gen_ai__conversation__id="c1"), chat(2, 1, session__id="s1", enduser__id="u1"))
    assert (found.get_attribute("session.id"), found.get_attribute("user.id")) == ("s1", "u1")


def test_a_failure_that_ended_the_trace_is_the_roots():
    """Agent frameworks close the outermost span without a look at what went wrong inside."""
    agent = span(1, 2, 1, gen_ai__operation__name="invoke_agent", error="rate limit")
    found = root_of(span(1, 1, gen_ai__operation__name="invoke_workflow"), agent)
    assert (found.status.status_code, found.status.description) == (SpanStatusCode.ERROR, "rate limit")


@pytest.mark.parametrize(("message", "status"), [("", 500), ("Non-integer HTTP status: APIError", -1)])
def test_a_failed_request_tells_why(message: str, status: int):
    """The span of a web request knows its status alone, or not even that; what failed below it knows the reason."""
    request = span(1, 1, http__method="GET", http__status_code=status)
    request.kind = Span.SPAN_KIND_SERVER
    request.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=message))
    found = root_of(request, chat(2, 1, error="rate limit"))
    assert (found.status.status_code, found.status.description) == (SpanStatusCode.ERROR, "rate limit")


def test_a_failed_chain_keeps_its_reason():
    """A step of the application that failed says why itself."""
    found = root_of(span(1, 1, error="no answer"), chat(2, 1, error="rate limit"))
    assert found.status.description == "no answer"


@pytest.mark.parametrize(
    "root",
    [
        span(1, 1, seconds=9, http__response__status_code=200),
        span(1, 1, seconds=9, openinference__span__kind="CHAIN", output__value="Sorry, try later."),
    ],
    ids=["answered", "fallback"],
)
def test_a_failure_that_was_dealt_with_is_not(root: Span):
    """A successful response, or an answer of the root's own, shows that the application went on."""
    assert root_of(root, chat(2, 1, error="rate limit")).status.status_code == SpanStatusCode.UNSET


def test_a_failure_that_was_retried_is_not():
    """The later call went well."""
    found = root_of(span(1, 1), chat(2, 1, error="rate limit"), chat(3, 1, seconds=2))
    assert found.status.status_code == SpanStatusCode.UNSET


def test_a_circle_below_the_root_ends():
    """Spans that name each other as parents are walked once."""
    root = span(1, 1)
    circle = [span(1, 2, 3, gen_ai__operation__name="chat"), span(1, 3, 2, gen_ai__operation__name="chat")]
    assert root_of(root, *circle).inputs is None


def test_tools_offered_are_kept():
    """The tools that a model was offered stand where MLflow's chat view looks for them."""
    tool = {"type": "function", "function": {"name": "weather"}}
    found = root_of(chat(1, 0, gen_ai__tool__definitions=json.dumps([tool])))
    assert found.get_attribute("mlflow.chat.tools") == [tool]


def test_an_endless_session_id_is_cut():
    """MLflow would refuse the whole trace for it."""
    found = root_of(chat(1, 0, session__id="s" * 300, user__id="u" * 300))
    assert (found.get_attribute("session.id"), found.get_attribute("user.id")) == ("s" * 250, "u" * 250)
