"""Which traces are judged, and with what probability."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from qualitrace_collector.pipeline.consistent_sample import head_probability, inclusion_probability, randomness

MIDDLE = 1 << 55
ALL = "ot=th:0"  # a consistent sampler that keeps all, and says so


def trace(number: int) -> str:
    return f"tr-{number:032x}"


@pytest.mark.parametrize(("rate", "number", "picked"), [(0.5, MIDDLE, True), (0.5, MIDDLE - 1, False), (1.0, 0, True)])
def test_a_trace_is_picked_if_its_randomness_reaches_the_threshold(rate: float, number: int, picked: bool):
    """OpenTelemetry's rule: randomness (the low 56 bits of the trace id) ≥ (1 - rate) · 2^56."""
    assert (inclusion_probability(trace(number), ALL, rate, always=False) is not None) is picked


def test_the_high_bits_of_the_trace_id_do_not_matter():
    """Clients may put a timestamp there."""
    assert randomness(trace((0xABC << 56) | 5), ALL) == 5


def test_rate_zero_picks_nothing():
    """Not even the trace with the highest randomness."""
    assert inclusion_probability(trace((1 << 56) - 1), ALL, 0.0, always=False) is None


def test_explicit_randomness_wins_over_the_trace_id():
    """`rv` of the tracestate's `ot` entry is the trace's randomness where the client set it."""
    assert randomness(trace(0), "other=1,ot=rv:80000000000000") == MIDDLE


def test_head_sampling_is_told_by_the_threshold():
    """`th:8` means that half of the traces were rejected (W3C tracestate, trailing zeros left out)."""
    assert head_probability("ot=th:8") == 0.5
    assert head_probability("") == 1.0


def test_the_rate_is_of_all_traffic():
    """A client that kept a half needs a rate of 0.25 to be met by half of what arrives, each with probability 0.25."""
    high, low = trace((1 << 56) - 1), trace(MIDDLE)
    assert inclusion_probability(high, "ot=th:8", 0.25, always=False) == 0.25
    assert inclusion_probability(low, "ot=th:8", 0.25, always=False) is None


def test_a_rate_above_the_head_sampling_takes_all_that_arrives():
    """More than the client kept cannot be had: the probability is the client's."""
    assert inclusion_probability(trace(MIDDLE), "ot=th:8", 1.0, always=False) == 0.5


def test_an_always_stratum_is_limited_by_head_sampling_alone():
    """A failed trace is judged whatever the rate."""
    assert inclusion_probability(trace(0), "", 0.01, always=True) == 1.0
    assert inclusion_probability(trace(0), "ot=th:8", 0.01, always=True) == 0.5


@pytest.mark.parametrize(
    "tracestate", ["ot=th:zz", "ot=th:", "ot=", "th:8", "ot=rv:12", "=", ",,", "ot=th:123456789012345"]
)
def test_a_malformed_tracestate_is_ignored(tracestate: str):
    """What a client garbled neither raises nor changes the decision."""
    assert head_probability(tracestate) == 1.0
    assert randomness(trace(5), tracestate) == randomness(trace(5), "")


@given(st.integers(0, 2**128 - 1), st.sampled_from(["", ALL, "ot=th:8", "ot=rv:0123456789abcd"]), st.data())
def test_samples_are_nested(number: int, tracestate: str, data: st.DataObject):
    """A trace in the sample of a rate is in the sample of every higher rate: judges see the same traces."""
    low, high = sorted(data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    if inclusion_probability(trace(number), tracestate, low, always=False) is not None:
        assert inclusion_probability(trace(number), tracestate, high, always=False) is not None


def test_the_share_picked_is_the_rate():
    """Over evenly spread randomness a rate of 0.1 picks a tenth."""
    step = (1 << 56) // 10_000
    picked = [inclusion_probability(trace(n * step), ALL, 0.1, always=False) for n in range(10_000)]
    assert sum(p is not None for p in picked) == pytest.approx(1000, abs=1)


@pytest.mark.parametrize("keeps", ["all", "1/512"])
def test_a_client_that_samples_by_its_trace_ids_in_silence_is_sampled_at_the_rate(keeps: str):
    """The SDK's `TraceIdRatioBased` keeps ids whose low bits are low, and does not tell: of these a tenth is judged."""
    head, source = TraceIdRatioBased(1 if keeps == "all" else 1 / 512), random.Random(14)
    ids = [source.getrandbits(128) for _ in range(5_000)]
    if keeps != "all":  # 2.5 million ids would take as many calls
        ids = [number & ~0xFF80000000000000 for number in ids]
    sampled = [
        number for number in ids if head.should_sample(None, number, "chat").decision is Decision.RECORD_AND_SAMPLE
    ]
    assert len(sampled) == len(ids)
    picked = [inclusion_probability(trace(number), "", 0.1, always=False) for number in sampled]
    assert sum(probability == 0.1 for probability in picked) == pytest.approx(500, abs=85)  # 4 standard deviations
