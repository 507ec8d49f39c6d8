"""What each family of libraries records arrives in MLflow's fields."""

import json
from typing import Any

import pytest
from mlflow.entities import Span as MlflowSpan
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.convert import convert
from qualitrace_collector.convert.content import answer_text, question_text
from qualitrace_collector.convert.dialects import DIALECTS
from qualitrace_collector.convert.dialects.dialect import Dialect
from support.otlp import attributes, span, span_id, trace_id
from support.pieces import piece_of

MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Why?"}]}])
ANSWERS = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "So."}]}])


def recorded(values: dict[str, Any], events: tuple[Span.Event, ...] = ()) -> Span:
    item = span(1, 1)
    item.attributes.extend(attributes(values))
    item.events.extend(events)
    return item


def converted(item: Span, *logs: LogRecord, scope: str = "") -> MlflowSpan:
    (result,) = convert(piece_of(item, scope=scope, logs=logs), "shop").spans
    return result


def event(name: str, **values: Any) -> Span.Event:
    return Span.Event(name=name, attributes=attributes(values))


CALLS: dict[str, dict[str, Any]] = {
    "GenAI conventions": {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": MESSAGES,
        "gen_ai.output.messages": ANSWERS,
        "gen_ai.request.model": "m-1",
        "gen_ai.provider.name": "acme",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "input.value": "[ChatMessage(role='user')]",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "Why?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.contents.0.message_content.type": "text",
        "llm.output_messages.0.message.contents.0.message_content.text": "So.",
        "llm.model_name": "m-1",
        "llm.provider": "acme",
        "llm.token_count.prompt": 10,
        "llm.token_count.completion": 4,
        "llm.token_count.prompt_details.cache_read": 3,
        "llm.token_count.completion_details.reasoning": 2,
    },
    "OpenLLMetry before the conventions": {
        "llm.request.type": "chat",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Why?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "So.",
        "gen_ai.response.model": "m-1",
        "gen_ai.system": "acme",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 4,
        "gen_ai.usage.cache_read_input_tokens": 3,
        "gen_ai.usage.reasoning_tokens": 2,
    },
    "Vercel AI SDK": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.prompt.messages": json.dumps([{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]),
        "ai.response.text": "So.",
        "ai.model.id": "m-1",
        "ai.model.provider": "acme",
        "ai.usage.inputTokens": 10,
        "ai.usage.outputTokens": 4,
        "ai.usage.cachedInputTokens": 3,
        "ai.usage.reasoningTokens": 2,
    },
    "Langfuse": {
        "langfuse.observation.type": "generation",
        "langfuse.observation.input": json.dumps([{"role": "user", "content": "Why?"}]),
        "langfuse.observation.output": json.dumps({"role": "assistant", "content": "So."}),
        "langfuse.observation.model.name": "m-1",
        "gen_ai.provider.name": "acme",
        "langfuse.observation.usage_details": json.dumps(
            {"input": 7, "output": 2, "input_cached_tokens": 3, "output_reasoning_tokens": 2}  # disjoint
        ),
    },
    "LangSmith": {
        "langsmith.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.prompt": json.dumps({"messages": [{"role": "user", "content": "Why?"}]}),
        "gen_ai.completion": json.dumps({"choices": [{"message": {"role": "assistant", "content": "So."}}]}),
        "gen_ai.request.model": "m-1",
        "gen_ai.system": "acme",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.details.cached_tokens": 3,
        "gen_ai.usage.details.reasoning_tokens": 2,
    },
    "Google ADK": {
        "gcp.vertex.agent.llm_request": json.dumps({"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}),
        "gcp.vertex.agent.llm_response": json.dumps({"content": {"role": "model", "parts": [{"text": "So."}]}}),
        "gen_ai.request.model": "m-1",
        "gen_ai.system": "acme",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 3,
        "gen_ai.usage.reasoning_tokens": 2,
    },
    "Pydantic AI's events": {
        "gen_ai.operation.name": "chat",
        "events": json.dumps(
            [
                {"event.name": "gen_ai.user.message", "role": "user", "content": "Why?"},
                {"event.name": "gen_ai.choice", "index": 0, "message": {"role": "assistant", "content": "So."}},
            ]
        ),
        "gen_ai.request.model": "m-1",
        "gen_ai.system": "acme",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.details.cache_read_tokens": 3,
        "gen_ai.usage.details.reasoning_tokens": 2,
    },
}


@pytest.mark.parametrize("values", CALLS.values(), ids=CALLS.keys())
def test_a_model_call_is_understood(values: dict[str, Any]):
    """Type, question, answer, model, provider and all counts of tokens are found, whatever their names."""
    call = converted(recorded(values))
    assert call.span_type in ("CHAT_MODEL", "LLM")
    assert (question_text(call.inputs), answer_text(call.outputs)) == ("Why?", "So.")
    assert (call.get_attribute("mlflow.llm.model"), call.get_attribute("mlflow.llm.provider")) == ("m-1", "acme")
    assert call.get_attribute("mlflow.chat.tokenUsage") == {
        "input_tokens": 10,
        "output_tokens": 4,
        "total_tokens": 14,
        "cache_read_input_tokens": 3,
        "reasoning_tokens": 2,
    }


TOOLS: dict[str, dict[str, Any]] = {
    "GenAI conventions": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.call.arguments": '{"city": "Oslo"}',
        "gen_ai.tool.call.result": "rain",
    },
    "OpenInference": {"openinference.span.kind": "TOOL", "input.value": '{"city": "Oslo"}', "output.value": "rain"},
    "OpenLLMetry's LangChain": {
        "traceloop.span.kind": "tool",
        "traceloop.entity.input": '{"input_str": {"city": "Oslo"}, "tags": [], "metadata": {}}',
        "traceloop.entity.output": '{"output": "rain", "kwargs": {}}',
    },
    "OpenLLMetry's LlamaIndex": {
        "traceloop.span.kind": "task",
        "traceloop.entity.name": "FunctionTool.task",
        "traceloop.entity.input": '{"kwargs": {"city": "Oslo"}}',
        "traceloop.entity.output": '"rain"',
    },
    "Vercel AI SDK": {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.args": '{"city": "Oslo"}',
        "ai.toolCall.result": '"rain"',
    },
    "Pydantic AI": {"gen_ai.tool.name": "weather", "tool_arguments": '{"city": "Oslo"}', "tool_response": "rain"},
}


@pytest.mark.parametrize("values", TOOLS.values(), ids=TOOLS.keys())
def test_a_tool_call_is_understood(values: dict[str, Any]):
    """Arguments and result stand bare in the tool's span, out of what the framework wrapped them in."""
    tool = converted(recorded(values))
    assert (tool.span_type, tool.inputs, tool.outputs) == ("TOOL", {"city": "Oslo"}, "rain")


RETRIEVERS: dict[str, dict[str, Any]] = {
    "OpenInference": {
        "openinference.span.kind": "RETRIEVER",
        "output.value": '["<NodeWithScore(...)>"]',
        "retrieval.documents.0.document.id": "d1",
        "retrieval.documents.0.document.content": "Open in May.",
        "retrieval.documents.0.document.metadata": '{"page": 2}',
    },
    "OpenLLMetry's LangChain": {
        "traceloop.span.kind": "task",
        "gen_ai.operation.name": "vector_db_retrieve",
        "traceloop.entity.output": json.dumps(
            {"documents": [{"page_content": "Open in May.", "metadata": {"page": 2}, "id": "d1"}], "count": 1}
        ),
    },
    "OpenLLMetry's LlamaIndex": {
        "traceloop.span.kind": "task",
        "traceloop.entity.name": "VectorIndexRetriever.task",
        "traceloop.entity.output": json.dumps(
            [json.dumps({"node": {"id_": "d1", "text": "Open in May.", "metadata": {"page": 2}}})]
        ),
    },
    "GenAI conventions": {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.documents": json.dumps([{"id": "d1", "content": "Open in May.", "metadata": {"page": 2}}]),
    },
    "Langfuse": {
        "langfuse.observation.type": "retriever",
        "langfuse.observation.output": json.dumps([{"id": "d1", "text": "Open in May.", "metadata": {"page": 2}}]),
    },
}


@pytest.mark.parametrize("values", RETRIEVERS.values(), ids=RETRIEVERS.keys())
def test_retrieved_documents_have_mlflows_form(values: dict[str, Any]):
    """Documents of every library come as page_content, metadata and id."""
    retriever = converted(recorded(values))
    assert retriever.span_type == "RETRIEVER"
    assert retriever.outputs == [{"page_content": "Open in May.", "metadata": {"page": 2}, "id": "d1"}]


def test_a_vector_stores_hits_come_from_events():
    """OpenLLMetry records each hit of a vector store as an event of its span."""
    hit = event("db.query.result", **{"db.query.result.id": "d1", "db.query.result.document": "Open in May."})
    found = converted(recorded({"db.system": "chroma", "db.operation": "query"}, events=(hit,)))
    assert found.span_type == "RETRIEVER"
    assert found.outputs == [{"page_content": "Open in May.", "metadata": {}, "id": "d1"}]


@pytest.mark.parametrize(
    "events",
    [
        (event("gen_ai.user.message", content="Why?"), event("gen_ai.choice", message='{"content": "So."}')),
        (
            event("gen_ai.user.message", content='[{"text": "Why?"}]'),
            event("gen_ai.choice", message='[{"text": "So."}]'),
        ),
        (
            event("gen_ai.user.message", **{"gen_ai.event.content": '{"role": "user", "content": "Why?"}'}),
            event("gen_ai.choice", **{"gen_ai.event.content": '{"message": {"content": "So."}}'}),
        ),
        (
            event("gen_ai.content.prompt", **{"gen_ai.prompt": '[{"role": "user", "content": "Why?"}]'}),
            event("gen_ai.content.completion", **{"gen_ai.completion": '[{"role": "assistant", "content": "So."}]'}),
        ),
        (
            event("gen_ai.client.inference.operation.details", **{"gen_ai.input.messages": MESSAGES}),
            event("gen_ai.client.inference.operation.details", **{"gen_ai.output.messages": ANSWERS}),
        ),
    ],
    ids=["messages", "content blocks", "event content", "prompt and completion", "details"],
)
def test_content_in_span_events_is_found(events: tuple[Span.Event, ...]):
    """All generations of events give inputs and outputs."""
    call = converted(recorded({"gen_ai.operation.name": "chat"}, events=events))
    assert (question_text(call.inputs), answer_text(call.outputs)) == ("Why?", "So.")


def test_content_in_log_records_is_found():
    """The details record of the GenAI conventions adds what the span lacks."""
    values = attributes({"gen_ai.input.messages": MESSAGES, "gen_ai.output.messages": ANSWERS, "user.id": "u1"})
    log = LogRecord(
        trace_id=trace_id(1),
        span_id=span_id(1),
        event_name="gen_ai.client.inference.operation.details",
        attributes=values,
    )
    call = converted(recorded({"gen_ai.operation.name": "chat"}), log)
    assert (question_text(call.inputs), answer_text(call.outputs)) == ("Why?", "So.")
    assert call.get_attribute("user.id") == "u1"
    assert call.events == []


def test_a_tool_call_in_a_log_records_body_is_found():
    """The older conventions put each message into the body of a record."""
    arguments = '{"city": "Oslo"}'
    function = AnyValue(kvlist_value=KeyValueList(values=attributes({"name": "weather", "arguments": arguments})))
    call = KeyValueList(values=attributes({"id": "c1"}))
    call.values.add(key="function", value=function)
    message = KeyValueList(values=attributes({"role": "assistant"}))
    message.values.add(key="tool_calls").value.array_value.values.add(kvlist_value=call)
    body = KeyValueList(values=attributes({"index": 0}))
    body.values.add(key="message", value=AnyValue(kvlist_value=message))
    log = LogRecord(
        trace_id=trace_id(1), span_id=span_id(1), event_name="gen_ai.choice", body=AnyValue(kvlist_value=body)
    )
    outputs = converted(recorded({"gen_ai.operation.name": "chat"}), log).outputs
    called = outputs["choices"][0]["message"]["tool_calls"][0]["function"]
    assert called == {"name": "weather", "arguments": arguments}


def test_system_instructions_lead_the_messages():
    """Instructions that travel apart are part of what the model was given."""
    values = CALLS["GenAI conventions"] | {"gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]'}
    first, second = converted(recorded(values)).inputs
    assert first == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
    assert second["role"] == "user"


def test_a_tool_call_beside_the_output_messages_goes_with_them():
    """LiteLLM leaves calls out of its messages and sends them as numbered attributes."""
    values = {
        "gen_ai.operation.name": "chat",
        "gen_ai.output.messages": '[{"role": "assistant", "parts": []}]',
        "gen_ai.completion.0.function_call.name": "weather",
        "gen_ai.completion.0.function_call.arguments": '{"city": "Oslo"}',
    }
    calls = converted(recorded(values)).outputs[-1]["tool_calls"]
    assert [call["function"] for call in calls] == [{"name": "weather", "arguments": '{"city": "Oslo"}'}]


def test_pydantic_ais_run_is_parted_into_question_and_answer():
    """The history of a run ends with the answer, which is not a part of what was asked."""
    history = json.loads(MESSAGES) + json.loads(ANSWERS)
    values = {"gen_ai.operation.name": "invoke_agent", "pydantic_ai.all_messages": json.dumps(history)}
    run = converted(recorded(values | {"final_result": "So."}))
    assert (run.inputs, run.outputs) == (json.loads(MESSAGES), "So.")


def test_logfires_record_of_a_streams_end_is_the_call():
    """The request's span ended when the stream opened; the record has the answer."""
    asked = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": MESSAGES}
    opened = converted(recorded(asked | {"logfire.span_type": "span"}), scope="logfire.openai")
    ended = asked | {"logfire.span_type": "log", "gen_ai.output.messages": ANSWERS}
    assert opened.span_type == "CHAIN"
    assert converted(recorded(ended), scope="logfire.openai").span_type == "CHAT_MODEL"


@pytest.mark.parametrize(
    "values",
    [
        {"crew_tasks": '[{"description": "Why?"}]', "output.value": '{"raw": "So.", "pydantic": null}'},
        {"crewai.crew.tasks": '[{"description": "Why?", "agent": "Reporter"}]', "crewai.crew.result": "So."},
        {"crewai.task.description": "Why?", "traceloop.entity.output": "So."},
    ],
    ids=["OpenInference", "OpenLLMetry", "OpenLLMetry's task"],
)
def test_a_crew_was_asked_what_its_tasks_say(values: dict[str, Any]):
    """CrewAI's kickoff has no question of its own; its tasks' descriptions are what was asked."""
    found = converted(recorded(values))
    assert (question_text(found.inputs), answer_text(found.outputs)) == ("Why?", "So.")


@pytest.mark.parametrize(
    ("component", "output"),
    [
        ("OpenAIChatGenerator", {"replies": [{"role": "assistant", "content": [{"text": "So."}], "meta": {}}]}),
        ("OpenAIGenerator", {"replies": ["So."], "meta": [{}]}),
    ],
)
def test_haystacks_replies_have_model_and_counts(component: str, output: dict[str, Any]):
    """Haystack's spans have no attributes for them; both of its generators keep them beside the text."""
    meta = output["meta"][0] if "meta" in output else output["replies"][0]["meta"]
    meta |= {"model": "gpt-5", "usage": {"prompt_tokens": 14, "completion_tokens": 8}}
    names = {"haystack.component.type": component, "haystack.component.output": json.dumps(output)}
    found = converted(recorded(names))
    counts = {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22}
    assert (found.get_attribute("mlflow.llm.model"), found.get_attribute("mlflow.chat.tokenUsage")) == ("gpt-5", counts)


def test_ag2s_records_of_tokens_are_no_calls():
    """AG2 writes a span of the tokens beside the span of each call; both would count."""
    counts = {"gen_ai.response.model": "m-1", "gen_ai.usage.input_tokens": 14, "gen_ai.usage.output_tokens": 8}
    found = converted(recorded({"ag2.span.type": "usage", "ag2.usage.kind": "model_call", **counts}))
    assert found.get_attribute("mlflow.chat.tokenUsage") is None
    assert found.span_type == "UNKNOWN"


def test_genkits_response_has_the_counts():
    """Genkit's spans name the model; the counts stand in the response that they record."""
    response = {
        "message": {"role": "model", "content": [{"text": "So."}]},
        "usage": {"inputTokens": 14, "outputTokens": 8},
    }
    names = {"genkit:metadata:subtype": "model", "genkit:name": "openai/gpt-5", "genkit:output": json.dumps(response)}
    found = converted(recorded(names))
    counts = {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22}
    assert (found.span_type, found.get_attribute("mlflow.llm.model")) == ("CHAT_MODEL", "openai/gpt-5")
    assert found.get_attribute("mlflow.chat.tokenUsage") == counts


@pytest.mark.parametrize("count", ["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"])
def test_a_span_with_model_and_counts_is_a_call(count: str):
    """The Mistral client's own spans have no operation and use the counts' old names."""
    found = converted(recorded({"gen_ai.request.model": "m-1", count: 14, "gen_ai.usage.output_tokens": 8}))
    assert (found.span_type, found.get_attribute("mlflow.chat.tokenUsage")["total_tokens"]) == ("CHAT_MODEL", 22)


def test_the_prompts_of_a_completion_are_its_inputs():
    """LlamaIndex's completions keep a list of texts beside arguments without a name."""
    item = recorded({"openinference.span.kind": "LLM", "input.value": '{"args": ["Why?"]}'})
    prompts = ArrayValue(values=[AnyValue(string_value="Why?")])
    item.attributes.add(key="llm.prompts", value=AnyValue(array_value=prompts))
    assert question_text(converted(item).inputs) == "Why?"


def test_a_library_that_no_one_knows_still_gives_a_usable_span():
    """Names that speak for themselves are understood without a dialect."""
    values = {"llm.prompt": "Why?", "llm.completion": "So.", "llm.model": "m-1"}
    found = converted(recorded({key.removeprefix("llm."): value for key, value in values.items()}))
    assert (found.span_type, found.inputs, found.outputs) == ("LLM", "Why?", "So.")


@pytest.mark.parametrize(
    "values",
    [
        {"query": "SELECT 1", "response": "1"},
        {"http.route": "/healthz", "model": "T"},
        {"input": "a.csv", "output": "b.csv"},
        {"ai.region": "eu", "db.system": "redis", "db.statement": "GET x"},
    ],
)
def test_other_services_are_not_taken_for_genai(values: dict[str, str]):
    """A database, a web server and a batch job have queries, models and outputs, too."""
    assert not convert(piece_of(recorded(values)), "shop").is_genai


def test_text_that_was_escaped_can_be_read_and_searched():
    """Letters outside ASCII stand in the stored content as they are, and half a pair of surrogates breaks nothing."""
    messages = '[{"role": "user", "parts": [{"type": "text", "content": "Stra\\u00dfe \\ud83d"}]}]'
    call = recorded({"gen_ai.operation.name": "chat", "gen_ai.input.messages": messages})
    (stored,) = convert(piece_of(call), "shop").stored
    assert "Straße" in stored.data["attributes"]["mlflow.spanInputs"]
    stored.data["attributes"]["mlflow.spanInputs"].encode()


def test_a_root_is_a_familys_own_or_shared_but_not_both():
    """What other libraries use, too, must not make their spans those of a GenAI library."""
    own = {root for dialect in DIALECTS for root in dialect.roots}
    assert own.isdisjoint(root for dialect in DIALECTS for root in dialect.shared_roots)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_session_user_and_cost_are_found_under_the_names_of_each_dialect(dialect: Dialect):
    """A dialect only declares them."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m-1"}
    for name in dialect.session:
        assert converted(recorded(call | {name: "s1"})).get_attribute("session.id") == "s1"
    for name in dialect.user:
        assert converted(recorded(call | {name: "u1"})).get_attribute("user.id") == "u1"
    for name in dialect.costs.get("total_cost", ()):
        cost = converted(recorded(call | {name: 0.25})).get_attribute("mlflow.llm.cost")
        assert cost == {"input_cost": 0.0, "output_cost": 0.0, "total_cost": 0.25}
