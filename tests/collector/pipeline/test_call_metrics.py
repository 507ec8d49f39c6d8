"""Each call of a model by OpenTelemetry's names: what clients say of it, once, and under a bounded number of labels."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from qualitrace_collector.metrics import CALL_DURATION, CALL_FIRST_CHUNK, CALL_TOKENS
from qualitrace_collector.pipeline import call_metrics
from qualitrace_collector.pipeline.call_metrics import MAX_NAMES
from qualitrace_collector.pipeline.stored_trace import MAX_MODELS, StoredTrace
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from support.mlflow_db import converted
from support.otlp import START, attributes, chat_span, span

SECOND = 1_000_000_000


class Measured:
    """The metrics of traces that each consist of these spans."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = TraceMetrics(self.registry)

    def send(self, spans: Iterable[Span], service: str = "shop", now: float = 0.0) -> None:
        stored = converted(spans, service).stored
        self.metrics.observe([StoredTrace(trace_id=stored[0].trace_id, service=service, spans=stored)], now)

    def read(self, series: str, call: str = "chat openai gpt-4o-mini", **labels: str) -> float | None:
        """Return a series of the shop's calls; `call` is operation, provider and model."""
        operation, provider, model = call.split()
        of_call = {
            "gen_ai_operation_name": operation,
            "gen_ai_provider_name": provider,
            "gen_ai_request_model": model,
        }
        return self.registry.get_sample_value(f"gen_ai_client_{series}", {"service": "shop"} | of_call | labels)

    def series(self, name: str) -> list[dict[str, str]]:
        """Return the labels of the series of that name."""
        return [s.labels for family in self.registry.collect() for s in family.samples if s.name == name]


@pytest.fixture
def measured() -> Measured:
    return Measured()


def chat(number: int = 1, parent: int = 0, **values: Any) -> Span:
    return chat_span(1, number, parent, question="Q?", answer="A.", **values)


def with_event(call: Span, name: str, seconds: float, **values: str) -> Span:
    """Add an event that came so long after the start."""
    named = attributes({key.replace("__", "."): value for key, value in values.items()})
    time = call.start_time_unix_nano + int(seconds * SECOND)
    call.events.append(Span.Event(name=name, time_unix_nano=time, attributes=named))
    return call


def test_each_call_has_its_duration_and_tokens(measured: Measured) -> None:
    """Two calls of one trace, of 0.5 s and 3 s: two observations, where the trace's duration is one."""
    calls = [chat(2, 1, seconds=0.5), chat(3, 1, seconds=3, gen_ai__usage__input_tokens=300, start=START + 5 * SECOND)]
    measured.send([span(1, 1, seconds=9), *calls])
    assert measured.read("operation_duration_seconds_count", error_type="") == 2
    assert measured.read("operation_duration_seconds_sum", error_type="") == 3.5
    assert measured.read("operation_duration_seconds_bucket", error_type="", le="0.64") == 1
    assert measured.read("token_usage_sum", gen_ai_token_type="input") == 314
    assert measured.read("token_usage_bucket", gen_ai_token_type="input", le="64.0") == 1
    assert measured.read("token_usage_sum", gen_ai_token_type="output") == 16


def test_a_call_that_two_instrumentors_record_is_one(measured: Measured) -> None:
    """A framework's span around the span of the provider's client, with the same usage."""
    measured.send([span(1, 1), chat(2, 1, seconds=2), chat(3, 2)])
    assert measured.read("operation_duration_seconds_count", error_type="") == 1
    assert measured.read("token_usage_count", gen_ai_token_type="input") == 1


def test_embeddings_are_calls(measured: Measured) -> None:
    """With tokens of their input alone."""
    named = {"gen_ai__operation__name": "embeddings", "gen_ai__request__model": "embed-3"}
    call = span(1, 1, gen_ai__provider__name="openai", gen_ai__usage__input_tokens=7, **named)
    measured.send([call])
    assert measured.read("operation_duration_seconds_count", "embeddings openai embed-3", error_type="") == 1
    assert measured.read("token_usage_sum", "embeddings openai embed-3", gen_ai_token_type="input") == 7
    assert measured.read("token_usage_sum", "embeddings openai embed-3", gen_ai_token_type="output") is None


def test_the_model_is_the_one_that_was_asked_for(measured: Measured) -> None:
    """Providers answer with the name of a version, of which there are many."""
    measured.send([chat(gen_ai__response__model="gpt-4o-mini-2024-07-18")])
    assert measured.read("operation_duration_seconds_count", error_type="") == 1
    assert measured.read("token_usage_count", gen_ai_token_type="input") == 1


def test_what_a_client_does_not_say_is_unknown(measured: Measured) -> None:
    """OpenInference names neither operation nor, here, provider."""
    call = {"openinference__span__kind": "LLM", "input__value": "Q?", "output__value": "A.", "llm__model_name": "m"}
    measured.send([span(1, 1, **call)])
    (labels,) = measured.series("gen_ai_client_operation_duration_seconds_count")
    assert (labels["gen_ai_provider_name"], labels["gen_ai_request_model"]) == ("unknown", "m")


@pytest.mark.parametrize(
    ("call", "error_type"),
    [
        (chat(error="slow down", error__type="RateLimitError"), "RateLimitError"),
        (with_event(chat(error="slow"), "exception", 1, exception__type="openai.APITimeoutError"), "openai.APITimeoutError"),
        (chat(error="it broke"), "_OTHER"),
    ],
    ids=["error.type", "exception", "neither"],
)  # fmt: skip
def test_a_failed_call_has_its_error(measured: Measured, call: Span, error_type: str) -> None:
    """By its class, as OpenTelemetry names it, or else as the exception is called."""
    measured.send([call])
    assert measured.read("operation_duration_seconds_count", error_type=error_type) == 1
    assert measured.read("operation_duration_seconds_count", error_type="") is None


@pytest.mark.parametrize(
    "call",
    [
        chat(gen_ai__response__time_to_first_chunk=0.25),
        chat(gen_ai__server__time_to_first_token=0.25),
        chat(ai__response__msToFirstChunk=250),
        with_event(chat(), "First Token Stream Event", 0.25),
        with_event(with_event(chat(), "llm.content.completion.chunk", 0.25), "llm.content.completion.chunk", 0.5),
    ],
    ids=["OpenTelemetry", "server's", "Vercel", "OpenInference", "OpenLLMetry"],
)
def test_the_first_chunk_is_known_however_a_library_records_it(measured: Measured, call: Span) -> None:
    """As seconds, as milliseconds, or as the time of an event."""
    measured.send([call])
    assert measured.read("operation_time_to_first_chunk_seconds_sum") == pytest.approx(0.25, abs=1e-6)


def test_a_call_that_does_not_stream_has_no_first_chunk(measured: Measured) -> None:
    """It would be its duration, and spoil the percentiles."""
    measured.send([chat()])
    assert measured.series("gen_ai_client_operation_time_to_first_chunk_seconds_count") == []


def test_exemplars_lead_to_the_trace(measured: Measured) -> None:
    """Of each family, in the OpenMetrics form."""
    measured.send([chat(gen_ai__response__time_to_first_chunk=0.25)])
    text = generate_latest(measured.registry).decode()
    led = [line for line in text.splitlines() if line.startswith("gen_ai_") and f'trace_id="{1:032x}"' in line]
    assert {line.partition("_bucket{")[0] for line in led} == {
        family.name for family in (CALL_DURATION, CALL_FIRST_CHUNK, CALL_TOKENS)
    }


@pytest.mark.parametrize(
    ("values", "label", "most"),
    [
        (lambda n: {"gen_ai__request__model": f"m{n}"}, "gen_ai_request_model", MAX_MODELS),
        (lambda n: {"gen_ai__provider__name": f"p{n}"}, "gen_ai_provider_name", MAX_NAMES),
        (lambda n: {"error": "x", "error__type": f"e{n}"}, "error_type", MAX_NAMES),
    ],
    ids=["models", "providers", "errors"],
)
def test_values_of_a_label_are_bounded(
    measured: Measured, values: Callable[[int], dict[str, Any]], label: str, most: int
) -> None:
    """Those beyond are `other`, and counted, so that no client floods Prometheus with names."""
    for number in range(most + 5):
        measured.send([chat(**values(number))])
    found = {series[label] for series in measured.series("gen_ai_client_operation_duration_seconds_count")}
    assert len(found) == most + 1
    assert "other" in found
    assert measured.registry.get_sample_value("qualitrace_names_replaced_total", {"kind": "call"}) == 5


def test_combinations_of_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each label is within its limit, and together they would be a million series."""
    for limit, most in (("MAX_CALLS", 60), ("MAX_FAILURES", 40)):
        monkeypatch.setattr(call_metrics, limit, most)
    measured = Measured()
    for model, provider in itertools.product(range(10), range(10)):
        named = {"gen_ai__request__model": f"m{model}", "gen_ai__provider__name": f"p{provider}"}
        measured.send([chat(error="x", error__type="e", **named)])
    series = measured.series("gen_ai_client_operation_duration_seconds_count")
    calls = {tuple(value for key, value in labels.items() if key != "error_type") for labels in series}
    assert len(calls) == 60 + 1
    assert Counter(labels["error_type"] for labels in series) == {"e": 40, "other": 20 + 1}


def test_calls_that_are_made_no_more_make_room(measured: Measured) -> None:
    """Their series end, those of the others go on."""
    measured.send([chat(gen_ai__request__model="old", gen_ai__response__time_to_first_chunk=0.1)], now=100)
    measured.send([chat(gen_ai__response__time_to_first_chunk=0.1)], now=200)
    measured.metrics.forget([], models_before=150)
    for name in ("operation_duration_seconds", "operation_time_to_first_chunk_seconds", "token_usage"):
        assert {labels["gen_ai_request_model"] for labels in measured.series(f"gen_ai_client_{name}_count")} == {
            "gpt-4o-mini"
        }


def test_a_service_that_is_given_up_has_no_calls(measured: Measured) -> None:
    """Its series end with the others of the service."""
    measured.send([chat()], service="gone")
    measured.send([chat()])
    measured.metrics.forget(["gone"], models_before=-1)
    assert {labels["service"] for labels in measured.series("gen_ai_client_token_usage_count")} == {"shop"}
