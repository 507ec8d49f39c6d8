"""Head sampling across services: a caller's silence is not ours, and samples are consistent and weighed."""

from collections.abc import Mapping
from random import Random

import pytest
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanContext, SpanKind

from qualitrace.sampling import sampler
from qualitrace_collector.pipeline.consistent_sample import head_probability

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
CALLER = "00f067aa0ba902b7"


def called(ratio: float, *, sampled: bool, state: str = "", follows: bool = False, trace: int = TRACE) -> SpanContext:
    """Return the context of the first span in a service that was called."""
    headers: Mapping[str, str] = {"traceparent": f"00-{trace:032x}-{CALLER}-0{int(sampled)}", "tracestate": state}
    tracer = TracerProvider(sampler(ratio, follows_caller=follows)).get_tracer("test")
    return tracer.start_span("request", extract(headers)).get_span_context()


def entries(context: SpanContext) -> dict[str, str]:
    return dict(context.trace_state)


def test_an_unsampled_call_is_traced() -> None:
    """A caller that left the trace out does not silence the service, which tells that it takes every trace."""
    context = called(1, sampled=False, state="vendor=x")
    assert context.trace_flags.sampled
    assert context.trace_id == TRACE
    assert entries(context) == {"ot": "th:0", "vendor": "x"}


def test_an_unsampled_call_is_left_out_if_told() -> None:
    """With the setting, the caller's flag decides, either way."""
    assert not called(1, sampled=False, follows=True).trace_flags.sampled
    assert called(0, sampled=True, follows=True).trace_flags.sampled


@pytest.mark.parametrize("state", ["", "vendor=x", "ot=rv:ffffffffffffff"])
def test_a_flag_without_a_probability_does_not_decide(state: str) -> None:
    """A caller that samples everything cannot be told from one that does not, so that our own ratio holds."""
    assert not called(0, sampled=True, state=state).trace_flags.sampled


def test_a_weighed_call_is_followed() -> None:
    """A caller that sampled with a known probability is followed, and its threshold stays the trace's."""
    context = called(0, sampled=True, state="ot=th:8,vendor=x")
    assert context.trace_flags.sampled
    assert entries(context) == {"ot": "th:8", "vendor": "x"}


def test_a_threshold_of_an_unsampled_call_is_not_passed_on() -> None:
    """The spans of a service that takes every trace are not weighed by the ratio of a caller that left it out."""
    assert entries(called(1, sampled=False, state="ot=th:8")) == {"ot": "th:0"}
    assert "th" not in entries(called(0, sampled=False, state="ot=th:8;rv:00000000000001")).get("ot", "")


def test_samples_are_consistent() -> None:
    """Two services with ratios of their own decide alike on a trace: the smaller sample is a part of the larger one."""
    numbers = Random(1)
    traces = [numbers.getrandbits(128) for _ in range(2000)]

    def sample(ratio: float) -> set[int]:
        own = sampler(ratio, follows_caller=False)
        return {
            trace
            for trace in traces
            if own.should_sample(extract({"traceparent": f"00-{trace:032x}-{CALLER}-00"}), trace, "request").decision
            is Decision.RECORD_AND_SAMPLE
        }

    small, large = sample(0.1), sample(0.4)
    assert small <= large
    assert 140 < len(small) < 260  # 200 ± 4.5 standard deviations
    assert 710 < len(large) < 890  # 800 ± 4.1


@pytest.mark.parametrize(("randomness", "sampled"), [("00000000000000", False), ("ffffffffffffff", True)])
def test_the_callers_randomness_counts(randomness: str, sampled: bool) -> None:
    """Where the trace state has `rv`, not the trace id decides, and it travels on."""
    context = called(0.5, sampled=False, state=f"ot=rv:{randomness}")
    assert bool(context.trace_flags.sampled) is sampled
    assert f"rv:{randomness}" in entries(context)["ot"]


@pytest.mark.parametrize("ratio", [1, 0.5, 0.1])
def test_the_collector_weighs(ratio: float) -> None:
    """The collector reads from the trace state with which probability the trace came."""
    context = called(ratio, sampled=False, state="ot=rv:ffffffffffffff")
    assert head_probability(context.trace_state.to_header()) == pytest.approx(ratio)


def test_a_child_keeps_the_decision() -> None:
    """Inside a service nothing is decided again."""
    provider = TracerProvider(sampler(0.5, follows_caller=False))
    tracer = provider.get_tracer("test")
    for _ in range(50):
        with tracer.start_as_current_span("outer") as outer, tracer.start_as_current_span("inner") as inner:
            parent, child = outer.get_span_context(), inner.get_span_context()
            assert child.trace_flags.sampled == parent.trace_flags.sampled
            assert child.trace_state == parent.trace_state


@pytest.mark.parametrize("ratio", [1, 0.999999])
@pytest.mark.parametrize("state", [None, "", "ot=th:8"])
def test_a_sampled_span_keeps_its_attributes(ratio: float, state: str | None) -> None:
    """What a span starts with is on it, whoever decided, at the root of a trace and in a call."""
    tracer = TracerProvider(sampler(ratio, follows_caller=False)).get_tracer("test")
    trace = f"{(1 << 128) - 1:032x}"
    headers = {} if state is None else {"traceparent": f"00-{trace}-{CALLER}-01", "tracestate": state}
    span = tracer.start_span(
        "chat", extract(headers), kind=SpanKind.CLIENT, attributes={"gen_ai.operation.name": "chat"}
    )
    assert isinstance(span, ReadableSpan)
    assert dict(span.attributes or {}) == {"gen_ai.operation.name": "chat"}
