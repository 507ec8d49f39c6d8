"""MLflow's own clients arrive as in MLflow, and other spans are kept as MLflow keeps them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities import Span as MlflowSpan
from mlflow.tracing.otel.translation import translate_span_when_storing
from mlflow.tracing.utils import calculate_cost_by_model_and_token_usage
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from qualitrace_collector.convert import convert
from qualitrace_collector.convert.cost import cost_of
from support.otlp import START, attributes, span, trace_id
from support.pieces import piece_of

NATIVE: dict[str, Any] = {
    "mlflow.traceRequestId": json.dumps("tr-" + trace_id(1).hex()),
    "mlflow.spanType": '"CHAT_MODEL"',
    "mlflow.spanInputs": '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Pourquoi\\u00a0?"}]}',
    "mlflow.spanOutputs": '{"choices": [{"message": {"role": "assistant", "content": "So."}}]}',
    "mlflow.chat.tokenUsage": '{"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}',
    "mlflow.llm.model": '"gpt-4o-mini"',
    "mlflow.message.format": '"openai"',
    "mlflow.spanLogLevel": "20",
    "temperature": "0.1",
}


def ours(item: Span) -> dict[str, Any]:
    return json.loads(json.dumps(convert(piece_of(item), "shop").stored[0].data))


def mlflows(item: Span) -> dict[str, Any]:
    return json.loads(json.dumps(translate_span_when_storing(MlflowSpan.from_otel_proto(item))))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"mlflow.spanType": '"UNKNOWN"'},
        {"mlflow.spanType": '"RETRIEVER"', "mlflow.spanOutputs": '[{"content": "text of a custom retriever"}]'},
        {"mlflow.spanInputs": '"only text"', "mlflow.spanOutputs": "null"},
        {"mlflow.llm.provider": '"openai"', "user.id": '"u1"', "mlflow.traceTag.team": "search"},
    ],
)
def test_a_native_span_arrives_as_in_mlflow(changed: dict[str, str]):
    """What MLflow's client sends is stored as MLflow's own endpoint stores it."""
    item = span(1, 1)
    item.attributes.extend(attributes(NATIVE | changed))
    assert ours(item) == mlflows(item)


SCALARS = (
    st.text(st.characters(codec="utf-8", exclude_characters="\0")).map(lambda value: AnyValue(string_value=value))
    | st.sampled_from(['"x"', '{"a": 1}', "[1]", " {}", "{broken", "1", "null", '"\\"y\\""']).map(
        lambda value: AnyValue(string_value=value)
    )
    | st.booleans().map(lambda value: AnyValue(bool_value=value))
    | st.integers(-(2**63), 2**63 - 1).map(lambda value: AnyValue(int_value=value))
    | st.floats(allow_nan=False).map(lambda value: AnyValue(double_value=value))
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3).map(lambda items: AnyValue(array_value=ArrayValue(values=items)))


@given(
    st.dictionaries(st.text(alphabet="xyz", min_size=3), VALUES, max_size=5),
    st.sampled_from([(0, ""), (Status.STATUS_CODE_OK, ""), (Status.STATUS_CODE_ERROR, "broken")]),
)
def test_any_other_span_is_kept_as_mlflow_keeps_it(values: dict[str, AnyValue], status: tuple[int, str]):
    """Attributes of all kinds, but for zero bytes, events, links and status have the form that MLflow reads."""
    item = span(1, 1, 7, error=status[1])
    item.status.code = status[0]  # pyright: ignore[reportAttributeAccessIssue]
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    item.attributes.extend(pairs)
    item.events.append(Span.Event(name="done", time_unix_nano=START, attributes=pairs))
    item.links.append(Span.Link(trace_id=trace_id(2), span_id=b"12345678", attributes=pairs))
    assert ours(item) == mlflows(item)


@given(
    st.sampled_from(["gpt-4o-mini", "claude-sonnet-4-5", "text-embedding-3-small", "openai/gpt-4o", "no-such-model"]),
    st.sampled_from([None, "openai", "anthropic", "OpenAI", "nobody"]),
    st.integers(0, 100_000),
    st.integers(0, 100_000),
    st.integers(0, 1000),
)
def test_a_call_costs_what_mlflow_says(model: str, provider: str | None, asked: int, answered: int, cached: int):
    """The price of each kind of token is MLflow's, to the last digit that matters."""
    usage = {
        "input_tokens": asked,
        "output_tokens": answered,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": cached // 2,
    }
    expected = calculate_cost_by_model_and_token_usage(model, usage, provider)
    assert cost_of(model, provider, usage) == (expected and pytest.approx(expected))
