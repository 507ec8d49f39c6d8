"""Tokens and costs: as the provider counts them, once each, and the same in MLflow's totals and in the metrics."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Span as MlflowSpan
from mlflow.tracing.utils import aggregate_cost_from_spans, aggregate_usage_from_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import CollectorRegistry

from qualitrace_collector.convert import ConvertedTrace, convert
from qualitrace_collector.convert.cost import prices_of
from qualitrace_collector.convert.spending import SpanUsage, spending
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from support.otlp import chat_span, span
from support.pieces import piece_of

MODEL = "claude-sonnet-4-20250514"
OTHER = "gpt-4o-mini"


def trace_of(*spans: Span, scope: str = "test") -> ConvertedTrace:
    return convert(piece_of(*spans, scope=scope), "shop")


def totals(trace: ConvertedTrace) -> tuple[int, int, float | None]:
    """Return input, output and cost that MLflow adds up; fail if the metrics or spans read back give others."""
    spans: Any = list(trace.spans)
    usage: Any = aggregate_usage_from_spans(spans) or {"input_tokens": 0, "output_tokens": 0}
    cost: Any = aggregate_cost_from_spans(spans)
    counted = counters(trace.stored)
    assert (counted["input"], counted["output"]) == (usage["input_tokens"], usage["output_tokens"])
    assert counted["cost"] == pytest.approx(cost["total_cost"] if cost else 0)
    assert counters(spans) == counted
    return usage["input_tokens"], usage["output_tokens"], cost["total_cost"] if cost else None


def counters(spans: Sequence[Any]) -> dict[str, float]:
    """Return the sums of the metrics' tokens and costs over all models."""
    registry = CollectorRegistry()
    TraceMetrics(registry).observe([StoredTrace(trace_id="tr-1", service="shop", spans=spans)])
    found = {"input": 0.0, "output": 0.0, "cost": 0.0}
    for sample in (sample for family in registry.collect() for sample in family.samples):
        if sample.name == "qualitrace_tokens_total":
            found[sample.labels["type"]] += sample.value
        elif sample.name == "qualitrace_cost_usd_total":
            found["cost"] += sample.value
    return found


def spelled(values: dict[str, Any]) -> dict[str, Any]:
    """Return attributes as the helper that builds spans takes them."""
    return {key.replace(".", "__"): value for key, value in values.items()}


def call(number: int = 1, parent: int = 0, /, **values: Any) -> Span:
    """Build a call in the GenAI conventions, whose counts are `values` alone."""
    names = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": MODEL}
    return span(1, number, parent, **spelled(names | values))


def counts(asked: int, answered: int, **more: Any) -> dict[str, Any]:
    return {"gen_ai.usage.input_tokens": asked, "gen_ai.usage.output_tokens": answered} | more


def openinference(number: int, parent: int = 0, /, *, kind: str = "AGENT", **values: Any) -> Span:
    names: dict[str, Any] = {"openinference.span.kind": kind, "input.value": "Why?", "output.value": "So."}
    return span(1, number, parent, **spelled(names | values))


def tokens(asked: int, answered: int, **more: Any) -> dict[str, Any]:
    return {"llm.token_count.prompt": asked, "llm.token_count.completion": answered} | more


READ, WRITTEN = "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.cache_creation_input_tokens"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (counts(9, 50, **{READ: 2000, WRITTEN: 300}), (2309, 50)),  # a part larger than the whole is apart from it
        (counts(2309, 50, **{READ: 2000, WRITTEN: 300}), (2309, 50)),
        (counts(900, 50, **{READ: 600, "gen_ai.usage.total_tokens": 1550}), (1500, 50)),  # the total shows it
        (counts(900, 50, **{READ: 600, "gen_ai.usage.total_tokens": 950}), (900, 50)),
        (counts(9, 50, **{READ: 2000, "gen_ai.usage.total_tokens": 59}), (2009, 50)),  # added up by the library
        (counts(100, 20, **{"gen_ai.usage.reasoning_tokens": 70}), (100, 90)),
        (counts(100, 90, **{"gen_ai.usage.reasoning_tokens": 70}), (100, 90)),
        (counts(100, 80, **{"gen_ai.usage.reasoning_tokens": 70, "gen_ai.usage.total_tokens": 250}), (100, 150)),
        (counts(9, 20, **{READ: 50, "gen_ai.usage.reasoning_tokens": 70, "gen_ai.usage.total_tokens": 149}), (59, 90)),
    ],
)
def test_parts_count_once_however_they_are_reported(values: dict[str, Any], expected: tuple[int, int]):
    """Cached tokens are in the input and reasoning is in the output, whether the library put them there or not."""
    assert totals(trace_of(call(**values)))[:2] == expected


def test_known_libraries_report_cached_tokens_apart_whatever_their_total():
    """Claude's Agent SDK by OpenInference, and OpenLLMetry's Bedrock, add up a total without them."""
    cached = {"llm.token_count.prompt_details.cache_read": 600, "llm.token_count.total": 1100}
    agent = openinference(1, **tokens(1000, 100, **cached))
    assert totals(trace_of(agent, scope="openinference.instrumentation.claude_agent_sdk"))[:2] == (1600, 100)
    assert totals(trace_of(agent))[:2] == (1000, 100)
    bedrock = call(**counts(1000, 100, **{READ: 600, "gen_ai.usage.total_tokens": 1100}))
    assert totals(trace_of(bedrock, scope="opentelemetry.instrumentation.bedrock"))[:2] == (1600, 100)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input": 20, "input_cache_read": 900, "input_cache_creation": 80, "output": 5, "total": 1005}, (1000, 5)),
        ({"input": 20, "input_cached_tokens": 10, "input_audio_tokens": 7, "output": 5}, (37, 5)),
        ({"input": 20, "output": 5, "output_reasoning": 300}, (20, 305)),
        ({"input": 1000, "cache_read_input_tokens": 900, "output": 5, "total": 1005}, (1000, 5)),
        ({"input_tokens": 4, "cache_read_input_tokens": 900, "output_tokens": 5}, (904, 5)),
        ({"prompt_tokens": 1000, "cache_read_input_tokens": 900, "completion_tokens": 5}, (1000, 5)),
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 50,
                "total_tokens": 1050,
                "prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": 30},
            },
            (1000, 50),
        ),
        ({"input_tokens": 1000, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 900}}, (1000, 50)),
        ({"input": "20", "output": "5.0", "input_cache_read": "1,200"}, (1220, 5)),
        ({"input": 20, "input_priority": 20, "output": 5}, (20, 5)),
    ],
)
def test_langfuses_buckets_are_disjoint_unless_the_total_shows_otherwise(
    usage: dict[str, Any], expected: tuple[int, int]
):
    """Its own names are; its wrapper of OpenAI's client passes on OpenAI's, and people send other shapes."""
    values = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": OTHER}
    generation = values | {"langfuse.observation.usage_details": json.dumps(usage)}
    assert totals(trace_of(span(1, 1, **spelled(generation))))[:2] == expected


ANTHROPIC = {"input_tokens": 9, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 300}


@pytest.mark.parametrize(
    ("provider", "values", "metadata", "expected"),
    [
        ("anthropic", {"promptTokens": 900, "completionTokens": 5}, {"cacheReadInputTokens": 600}, 1500),
        ("anthropic.messages", {"inputTokens": 900, "outputTokens": 5, "cachedInputTokens": 600}, {}, 1500),
        ("anthropic.messages", {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14}, {"usage": ANTHROPIC}, 2309),
        ("anthropic.messages", {"inputTokens": 2309, "outputTokens": 5}, {"usage": ANTHROPIC}, 2309),
        (
            "anthropic.messages",
            {"inputTokens": 900, "outputTokens": 5, "inputTokenDetails.cacheReadTokens": 600},
            {},
            900,
        ),
        ("openai.responses", {"inputTokens": 900, "outputTokens": 5, "cachedInputTokens": 600}, {}, 900),
    ],
    ids=["v4", "v5", "v5 raw", "v6 raw", "v6", "openai"],
)
def test_the_ai_sdk_reports_anthropics_cached_tokens_apart_before_version_6(
    provider: str, values: dict[str, Any], metadata: dict[str, Any], expected: int
):
    """Later versions, and other providers, have them in the input."""
    sent = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": MODEL, "ai.model.provider": provider}
    sent |= {f"ai.usage.{key}": value for key, value in values.items()}
    if metadata:
        sent["ai.response.providerMetadata"] = json.dumps({"anthropic": metadata})
    assert totals(trace_of(span(1, 1, **spelled(sent))))[:2] == (expected, 5)


def test_the_ai_sdk_reports_bedrocks_cached_tokens_apart():
    """They are in the provider's metadata alone."""
    values = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "amazon-bedrock"}
    metadata = {"bedrock": {"usage": {"cacheReadInputTokens": 600, "cacheWriteInputTokens": 30}}}
    counted = {"ai.usage.inputTokens": 900, "ai.usage.outputTokens": 5}
    found = spelled(values | counted | {"ai.response.providerMetadata": json.dumps(metadata)})
    assert totals(trace_of(span(1, 1, **found)))[:2] == (1530, 5)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 90, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 60}}, (90, 9)),
        ({"input_tokens": 90, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 7}}, (90, 9)),
        ({"input_tokens": 9, "output_tokens": 9, "cache_read_input_tokens": 5, "service_tier": "standard"}, (14, 9)),
        (
            {"promptTokenCount": 90, "candidatesTokenCount": 9, "thoughtsTokenCount": 8, "totalTokenCount": 107},
            (90, 17),
        ),
        ({"prompt_token_count": 90, "candidates_token_count": 9, "cached_content_token_count": 60}, (90, 9)),
    ],
    ids=["chat", "responses", "anthropic", "gemini", "gemini python"],
)
@pytest.mark.parametrize("kind", ["LLM", "AGENT"])
def test_a_response_has_its_usage_where_the_span_does_not(kind: str, usage: dict[str, Any], expected: tuple[int, int]):
    """Custom spans record the provider's response, or the result of Claude's Agent SDK, and no counts beside it."""
    for name in ("usage", "usageMetadata"):
        response = json.dumps({"content": [{"type": "text", "text": "So."}], name: usage})
        assert totals(trace_of(openinference(1, kind=kind, **{"output.value": response})))[:2] == expected


def test_counts_of_the_span_go_before_those_in_its_response():
    """An instrumentor knows better what it records, a stream's sum for example."""
    response = json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert totals(trace_of(openinference(1, kind="LLM", **tokens(90, 9, **{"output.value": response}))))[:2] == (90, 9)


@pytest.mark.parametrize("sent", [120, 120.0, "120", "120.0", '"120"'])
def test_counts_may_be_text(sent: Any):
    """SDKs send int64 as text, and floats."""
    assert totals(trace_of(call(**counts(sent, 5))))[:2] == (120, 5)


@pytest.mark.parametrize("sent", [-1, "many", 1.5, float("nan"), "1,2", ""])
def test_what_is_no_count_is_left_out(sent: Any):
    """An odd count does not spoil the other."""
    assert totals(trace_of(call(**counts(sent, 5))))[:2] == (0, 5)


def test_usage_at_an_agent_alone_counts_under_its_model():
    """Claude's Agent SDK has no spans of calls; what the agent states of the cost is the cost."""
    agent = openinference(1, **tokens(800, 40, **{"llm.model_name": MODEL, "llm.cost.total": 0.021}))
    trace = trace_of(agent, openinference(2, 1, kind="TOOL"))
    assert totals(trace) == (800, 40, 0.021)
    (spent,) = spending(trace.stored)
    expected = SpanUsage(span_id=f"{1:016x}", model=MODEL, input=800, output=40, cost_usd=0.021)
    assert spent == expected


def test_an_agents_sum_is_not_added_to_its_calls():
    """Nor that of agents within agents, nor of a chain on the way."""
    spans = [
        openinference(1, **tokens(90, 9)),
        openinference(2, 1, kind="CHAIN", **tokens(60, 6)),
        openinference(3, 2, kind="LLM", **tokens(20, 2)),
        openinference(4, 2, kind="LLM", **tokens(40, 4)),
        openinference(5, 1, kind="LLM", **tokens(30, 3)),
    ]
    assert totals(trace_of(*spans))[:2] == (90, 9)


def test_an_agent_reports_what_its_calls_do_not():
    """Where some or all calls are silent, the sum above them is the best there is."""
    agent, known = openinference(1, **tokens(90, 9)), openinference(2, 1, kind="LLM", **tokens(20, 2))
    assert totals(trace_of(agent, openinference(2, 1, kind="LLM"), openinference(3, 1, kind="LLM")))[:2] == (90, 9)
    assert totals(trace_of(agent, known, openinference(3, 1, kind="LLM")))[:2] == (90, 9)


def test_a_sum_that_is_less_than_its_calls_is_not_believed():
    """Some agents report their last call's counts; one that failed has none, and hides nothing."""
    failed = openinference(3, 1, kind="LLM", error="rate limit")
    calls = [openinference(2, 1, kind="LLM", **tokens(50, 5)), openinference(4, 1, kind="LLM", **tokens(30, 3))]
    assert totals(trace_of(openinference(1, **tokens(30, 3)), *calls, openinference(5, 1, kind="LLM")))[:2] == (80, 8)
    assert totals(trace_of(openinference(1, **tokens(999, 99)), *calls, failed))[:2] == (80, 8)


def test_an_agent_without_calls_is_not_its_tools_calls():
    """A call that a tool makes is another's: the agent's own were not traced."""
    agent = openinference(1, **tokens(800, 40))
    inner = openinference(3, 2, kind="LLM", **tokens(20, 2))
    assert totals(trace_of(agent, openinference(2, 1, kind="TOOL"), inner))[:2] == (800, 40)
    calling = openinference(1, kind="LLM", **tokens(800, 40))  # Gemini's client calls functions inside its call
    assert totals(trace_of(calling, openinference(2, 1, kind="TOOL"), inner))[:2] == (800, 40)


def test_agents_within_an_agent_are_in_its_sum():
    """Without any call the outermost agent reports all."""
    spans = [openinference(1, **tokens(90, 9)), openinference(2, 1, **tokens(50, 5)), openinference(3, 1)]
    assert totals(trace_of(*spans))[:2] == (90, 9)


def test_a_call_within_a_call_counts_once():
    """A framework's span around a provider's, with the same counts or with the sum of several."""
    outer, inner = openinference(1, kind="LLM", **tokens(60, 6)), openinference(2, 1, kind="LLM", **tokens(60, 6))
    assert totals(trace_of(outer, inner))[:2] == (60, 6)
    halves = [openinference(number, 1, kind="LLM", **tokens(30, 3)) for number in (2, 3)]
    assert totals(trace_of(outer, *halves))[:2] == (60, 6)
    assert totals(trace_of(outer, halves[0], openinference(3, 1, kind="LLM")))[:2] == (60, 6)


def test_a_sum_without_a_model_counts_under_the_models_of_its_calls():
    """MLflow's own client sums up at an agent; the metrics keep the models apart."""
    usage = [{"input_tokens": 30, "output_tokens": 3}, {"input_tokens": 10, "output_tokens": 1}]
    kinds = {"mlflow.chat.tokenUsage": '{"input_tokens": 40, "output_tokens": 4}', "mlflow.spanType": '"AGENT"'}
    spans = [native(1, 0, **kinds)]
    for number, (counted, model) in enumerate(zip(usage, (MODEL, OTHER), strict=True), 2):
        sent = {"mlflow.chat.tokenUsage": json.dumps(counted), "mlflow.llm.model": json.dumps(model)}
        spans.append(native(number, 1, **sent, **{"mlflow.spanType": '"LLM"'}))
    trace = trace_of(*spans)
    assert totals(trace)[:2] == (40, 4)
    assert {spent.model: spent.input for spent in spending(trace.stored)} == {MODEL: 30, OTHER: 10}


def native(number: int, parent: int, **values: Any) -> Span:
    return span(1, number, parent, **spelled(values))


@pytest.mark.parametrize(
    "values",
    [
        {"llm.cost.total": 0.25},
        {"llm.cost.prompt": 0.2, "llm.cost.completion": 0.05},
        {"gen_ai.usage.cost": "0.25"},
        {"gen_ai.usage.cost": 0, "litellm.response-cost": "0.25"},
        {"gen_ai.usage.total_cost": 0.25},
        {"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.currency": "USD"},
        {"gen_ai.cost.total_cost": 0.25, "gen_ai.cost.input_cost": 0.2, "gen_ai.cost.output_cost": 0.05},
        {"operation.cost": 0.25},
        {"total_cost_usd": "2.5e-1"},
        {"langfuse.observation.cost_details": '{"total": "0.25"}'},
        {"langfuse.observation.cost_details": '{"input": 0.1, "input_cache_read": 0.1, "output": 0.05}'},
        {"ai.response.providerMetadata": '{"gateway": {"cost": "0.25"}}'},
        {"ai.response.providerMetadata": '{"openrouter": {"usage": {"cost": 0.25}}}'},
        {"gen_ai.completion": '{"choices": [], "usage": {"prompt_tokens": 9, "cost": 0.25}}'},
        {"gen_ai.completion": '{"type": "result", "result": "So.", "total_cost_usd": 0.25}'},
    ],
)
def test_a_cost_that_the_client_states_goes_before_the_price_list(values: dict[str, Any]):
    """Wherever it stands, as a number or as text, and though it be the total alone."""
    assert totals(trace_of(call(**counts(1000, 100), **values)))[2] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "values",
    [
        {"gen_ai.usage.cost": "free"},
        {"llm.cost.total": -1.0},
        {"llm.cost.total": float("inf")},
        {"llm.cost.prompt": 0.2},
        {"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.currency": "EUR"},
        {"gen_ai.usage.cost": "0,25"},
    ],
)
def test_what_is_no_cost_in_dollars_leaves_it_to_the_price_list(values: dict[str, Any]):
    """Odd numbers, half a cost, and other currencies."""
    assert totals(trace_of(call(**counts(1000, 100), **values)))[2] == pytest.approx(0.0045)


def test_a_stated_zero_is_believed_of_models_without_a_price_alone():
    """Libraries put 0 for a model that they do not know; a free one is in no price list, and costs nothing."""
    zero: dict[str, Any] = {"gen_ai.usage.cost": 0.0}
    free = zero | {"gen_ai.request.model": "some-model:free"}
    assert totals(trace_of(call(**counts(1000, 100), **zero)))[2] == pytest.approx(0.0045)
    assert totals(trace_of(call(**counts(1000, 100, **free))))[2] == 0
    assert totals(trace_of(call(**counts(1000, 100, **{"gen_ai.request.model": "some-model:free"}))))[2] is None


def test_a_stated_zero_at_an_agent_hides_no_cost():
    """What its calls cost is counted."""
    agent: dict[str, Any] = {"llm.cost.total": 0.0}
    called = openinference(2, 1, kind="LLM", **tokens(1000, 100, **{"llm.model_name": MODEL}))
    assert totals(trace_of(openinference(1, **agent), called))[2] == pytest.approx(0.0045)


def test_a_price_on_another_services_span_is_no_cost_of_a_call():
    """A shop's own attribute has a name as plain; without tokens beside it, it is not a model's."""
    order = span(1, 2, 1, cost_usd=12.5, openinference__span__kind="TOOL")
    assert totals(trace_of(call(**counts(1000, 100)), order))[2] == pytest.approx(0.0045)


def test_a_cost_at_an_agent_stands_for_calls_without_one():
    """It is the client's own word; where all calls state theirs, those are counted instead."""
    stated_total: dict[str, Any] = {"llm.cost.total": 0.5}
    agent = openinference(1, **stated_total)
    silent = openinference(2, 1, kind="LLM", **tokens(1000, 100, **{"llm.model_name": MODEL}))
    stated = openinference(2, 1, kind="LLM", **tokens(1000, 100, **{"llm.cost.total": 0.3}))
    assert totals(trace_of(agent, silent)) == (1000, 100, 0.5)
    assert totals(trace_of(agent, stated)) == (1000, 100, 0.3)


@pytest.mark.parametrize(
    ("model", "provider", "like"),
    [
        ("claude-sonnet-4-latest", "anthropic", MODEL),
        ("claude-sonnet-4-latest", None, MODEL),
        ("claude-sonnet-4-0", "anthropic", MODEL),
        ("claude-sonnet-4@20250514", "gcp.vertex_ai", MODEL),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "aws.bedrock", MODEL),
        ("bedrock/global.anthropic.claude-sonnet-4-20250514-v1:0", None, MODEL),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0", "aws", MODEL),
        ("projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4", "vertexai", MODEL),
        ("gpt-4o-latest", "openai", "gpt-4o"),
        ("openai/gpt-4o", None, "gpt-4o"),
        ("azure/gpt-4o", "azure.ai.openai", "gpt-4o"),
        ("gpt-4o", "openai.responses", "gpt-4o"),
        ("gpt-4o-mini-2099-01-01", "openai", "gpt-4o-mini"),
        ("models/gemini-2.5-flash", "gcp.gemini", "gemini-2.5-flash"),
    ],
)
def test_a_model_costs_what_it_stands_for(model: str, provider: str | None, like: str):
    """Aliases, regions, gateways, resource names and later dates of one model have its price."""
    found, expected = prices_of(model, provider), prices_of(like, None)
    assert found
    assert expected
    assert found[:2] == expected[:2]
    assert min(found[:2]) > 0


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("ft:gpt-4o-mini:org::id", "openai"),
        ("openai/ft:gpt-4o-mini-2024-07-18:org:suffix:id", None),
        ("gpt-4o", "github_copilot"),
        ("llama3.1", "ollama"),
        ("ollama/llama3.1", None),
        ("some-model:free", "openrouter"),
        ("my-deployment", "azure"),
        ("gemini-exp-1206", "gcp.gemini"),
        ("-latest", None),
        ("x" * 10_000, None),
        ("../../../secret", "../../etc"),
    ],
)
def test_a_model_without_a_price_costs_an_unknown_sum(model: str, provider: str | None):
    """Fine-tuned, local and unknown models, and entries of the catalog without a price, are not free."""
    assert prices_of(model, provider) is None


def test_an_alias_without_a_price_of_its_own_is_priced_by_another_list():
    """One provider's list has it at nothing, which would read as $0.00."""
    found = prices_of("claude-3-5-sonnet-latest", "anthropic")
    assert found
    assert found[:2] == (pytest.approx(3e-6), pytest.approx(15e-6))


AMOUNT = st.integers(0, 50)
NODES = st.lists(
    st.tuples(
        st.integers(0, 8),
        st.sampled_from(["LLM", "AGENT", "CHAIN", "TOOL", "EMBEDDING"]),
        st.none() | st.tuples(AMOUNT, AMOUNT),
        st.none() | st.floats(0, 1),
        st.sampled_from([None, MODEL, OTHER]),
    ),
    min_size=1,
    max_size=8,
)


@given(NODES)
def test_mlflows_totals_and_the_metrics_are_the_same_for_any_trace(nodes: list[tuple[Any, ...]]):
    """Whatever spans report counts, costs and models, and however they contain each other; embeddings apart."""
    spans: list[Span] = []
    for number, (parent, kind, usage, cost, model) in enumerate(nodes, 1):
        values: dict[str, Any] = tokens(*usage) if usage and kind != "EMBEDDING" else {}
        values |= {} if cost is None else {"llm.cost.total": cost}
        values |= {} if model is None else {"llm.model_name": model}
        spans.append(openinference(number, parent if parent < number else 0, kind=kind, **values))
    totals(trace_of(*spans))


def test_a_circle_of_parents_counts_nowhere():
    """As in MLflow; and the metrics are made in time."""
    spans = [openinference(1, 2, kind="LLM", **tokens(9, 1)), openinference(2, 1, kind="CHAIN")]
    assert counters(list(trace_of(*spans).stored))["input"] == 0


def test_embeddings_are_counted_apart():
    """Their tokens are not part of the chat's, which MLflow totals."""
    spans = [call(**counts(10, 5)), openinference(2, 1, kind="EMBEDDING", **tokens(7, 0))]
    spent = spending(trace_of(*spans).stored)
    assert [(item.input, item.embedding) for item in spent] == [(10, False), (7, True)]


def test_spending_has_all_kinds_of_tokens():
    """For whoever shows what a trace spent."""
    values = counts(1000, 100, **{READ: 600, WRITTEN: 30, "gen_ai.usage.reasoning_tokens": 40})
    (found,) = spending(list(map(MlflowSpan.from_dict, [item.data for item in trace_of(call(**values)).stored])))
    amounts = (found.model, found.input, found.output, found.cached, found.cache_written, found.reasoning)
    assert amounts == (MODEL, 1000, 100, 600, 30, 40)
    assert found.cost_usd == pytest.approx((370 * 3 + 600 * 0.3 + 30 * 3.75 + 100 * 15) / 1e6)


def test_a_trace_that_reports_nothing_spent_nothing():
    """No span, no spending."""
    assert spending(trace_of(chat_span(1, 1, question="Why?", answer="So.", error="down"), span(1, 2)).stored)
    assert spending(trace_of(span(1, 1, openinference__span__kind="CHAIN")).stored) == []
