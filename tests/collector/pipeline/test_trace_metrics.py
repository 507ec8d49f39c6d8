"""The metrics of every trace: what clients report is counted, what cannot be counted is left out."""

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from qualitrace_collector.convert.mlflow_span import AnySpan
from qualitrace_collector.pipeline.stored_trace import MAX_MODELS, StoredTrace
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.state import Spent
from qualitrace_collector.state.coverage import added, gained
from support.mlflow_db import converted
from support.otlp import chat_span, span

SHOP = {"service": "shop", "model": "gpt-4o-mini"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> TraceMetrics:
    return TraceMetrics(registry)


def call(**values: object) -> list:
    """A model call that MLflow's own client recorded, with these attributes."""
    known = {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": '"gpt-4o-mini"'}
    native = span(1, 1, **{key.replace(".", "__"): value for key, value in (known | values).items()})
    return list(converted([native], "shop").spans)


def stored(spans: Sequence[AnySpan]) -> StoredTrace:
    return StoredTrace(trace_id=spans[0].trace_id, service="shop", spans=spans)


def test_tokens_cost_and_first_token_of_a_call_are_counted(metrics: TraceMetrics, registry: CollectorRegistry):
    """Requests and duration by service; tokens, US dollars and seconds to the first token by model."""
    spans = call(
        **{
            "mlflow.chat.tokenUsage": '{"input_tokens": 14, "output_tokens": 8}',
            "mlflow.llm.cost": '{"total_cost": 0.25}',
            "gen_ai.server.time_to_first_token": 0.5,
        }
    )
    metrics.observe([stored(spans)])
    assert registry.get_sample_value("qualitrace_requests_total", {"service": "shop"}) == 1
    assert registry.get_sample_value("qualitrace_request_duration_seconds_sum", {"service": "shop"}) == 1
    assert registry.get_sample_value("qualitrace_tokens_total", SHOP | {"type": "input"}) == 14
    assert registry.get_sample_value("qualitrace_tokens_total", SHOP | {"type": "output"}) == 8
    assert registry.get_sample_value("qualitrace_cost_usd_total", SHOP) == 0.25
    assert registry.get_sample_value("qualitrace_time_to_first_token_seconds_sum", SHOP) == 0.5


@pytest.mark.parametrize("number", ["-5", "NaN", "Infinity", "1" + "0" * 400, '"many"', "true", "null", "[1]"])
def test_a_number_that_cannot_be_counted_spoils_nothing(
    metrics: TraceMetrics, registry: CollectorRegistry, number: str
):
    """The trace is counted, its odd number is not, and those of later traces still are."""
    odd = {
        "mlflow.chat.tokenUsage": f'{{"input_tokens": {number}, "output_tokens": 8}}',
        "mlflow.llm.cost": f'{{"total_cost": {number}}}',
        "gen_ai.server.time_to_first_token": float("nan"),
    }
    later = converted([chat_span(2, 1, question="Q?", answer="A.")], "shop").stored
    metrics.observe([stored(call(**odd)), stored(later)])
    assert registry.get_sample_value("qualitrace_requests_total", {"service": "shop"}) == 2
    assert registry.get_sample_value("qualitrace_tokens_total", SHOP | {"type": "input"}) == 14
    assert registry.get_sample_value("qualitrace_tokens_total", SHOP | {"type": "output"}) == 16
    assert registry.get_sample_value("qualitrace_time_to_first_token_seconds_sum", SHOP) in (None, 0)


@pytest.mark.parametrize("value", ["[1]", '"free"', "3"])
def test_usage_of_an_odd_shape_is_left_out(metrics: TraceMetrics, registry: CollectorRegistry, value: str):
    """A list, a text or a number where a mapping belongs."""
    metrics.observe([stored(call(**{"mlflow.chat.tokenUsage": value, "mlflow.llm.cost": value}))])
    assert registry.get_sample_value("qualitrace_requests_total", {"service": "shop"}) == 1
    assert registry.get_sample_value("qualitrace_tokens_total", SHOP | {"type": "input"}) is None


TEN = {"m": {"input": 10.0, "usd": 1.0}}


@pytest.mark.parametrize(
    ("now", "more"),
    [
        (TEN, {}),
        ({"m": {"input": 15.0, "output": 2.0, "usd": 1.0}}, {"m": {"input": 5.0, "output": 2.0}}),
        (TEN | {"other": {"input": 3.0}}, {"other": {"input": 3.0}}),
        ({"renamed": {"input": 10.0, "usd": 1.0}}, {}),
        ({"renamed": {"input": 12.0}}, {"renamed": {"input": 2.0}}),
        ({}, {}),
    ],
    ids=["the same", "more", "another model", "renamed", "renamed and more", "less"],
)
def test_what_late_spans_add_is_the_growth(now: Spent, more: Spent):
    """By model and kind, and no more than the whole has grown by: a call that goes by another name is not a new one."""
    assert gained(TEN, now) == more
    assert gained(added(TEN, more), now) == {}


def test_the_models_of_a_trace_are_bounded():
    """A client that makes up names does not make the state of one trace grow with them."""
    calls = [
        span(1, 1),
        *(chat_span(1, 2 + n, 1, question="Q?", answer="A.", **named(n)) for n in range(MAX_MODELS + 5)),
    ]
    spent = stored(converted(calls, "shop").stored).spent
    assert len(spent) == MAX_MODELS + 1
    assert spent["other"]["input"] == 5 * 14


def named(number: int) -> dict[str, str]:
    return {"gen_ai__request__model": f"model-{number}"}
