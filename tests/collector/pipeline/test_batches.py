"""Batches of due pieces: how large, in which order, and what happens to refused ones."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from qualitrace_collector.piece import Piece, SpanRecord
from qualitrace_collector.pipeline.batches import BATCH_BYTES, BATCH_SPANS, MAX_ATTEMPTS, RETRY_SECONDS, Pending
from support.otlp import span, trace_id


def piece(trace: int, spans: int = 1, size: int = 0) -> Piece:
    record = SpanRecord(span(trace, 1, text="x" * size), Resource(), InstrumentationScope())
    return Piece(
        trace_id=trace_id(trace), spans=(record,) * spans, logs=(), root_seen=True, positions=frozenset({trace})
    )


def drained(pending: Pending) -> list[list[Piece]]:
    """Take everything out as if all of it were stored."""
    batches: list[list[Piece]] = []
    while first := pending.batches():
        (batch,) = first
        assert pending.finish(batch, [], now=0.0) == batch
        batches.append(batch)
    return batches


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 400)), max_size=15))
def test_batches_are_bounded_ordered_and_complete(sizes: list[tuple[int, int]]):
    """Every piece comes once and in order; no batch has two of one trace, or many spans unless it is one piece."""
    pieces = [piece(trace, spans) for trace, spans in sizes]
    pending = Pending()
    pending.add(pieces)
    batches = drained(pending)
    assert [item for batch in batches for item in batch] == pieces
    for batch in batches:
        assert len({item.trace_id for item in batch}) == len(batch)
        assert len(batch) == 1 or sum(len(item.spans) for item in batch) <= BATCH_SPANS
    assert not pending


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 1500)), max_size=15), st.integers(1, 3))
def test_batches_at_hand_have_no_trace_twice(sizes: list[tuple[int, int]], most: int):
    """So the next may be converted before the record of this one is there; those that are not, follow later."""
    pieces = [piece(trace, spans) for trace, spans in sizes]
    pending = Pending()
    pending.add(pieces)
    seen: list[Piece] = []
    while batches := pending.batches(most):
        assert len(batches) <= most
        at_hand = [item.trace_id for batch in batches for item in batch]
        assert len(set(at_hand)) == len(at_hand)
        seen += pending.finish(batches[0], [], now=0.0)
    assert seen == pieces


def test_large_spans_make_small_batches():
    """Bytes count, too: prompts may be long."""
    pending = Pending()
    pending.add([piece(number, size=BATCH_BYTES * 2 // 5) for number in range(1, 6)])
    assert [len(batch) for batch in drained(pending)] == [2, 2, 1]


def test_a_batch_stays_until_it_is_finished():
    """When MLflow goes away in the middle, the same batch is tried again."""
    pending = Pending()
    pending.add([piece(1), piece(2)])
    (first,), (again,) = pending.batches(), pending.batches()
    assert first is again
    assert pending


def test_a_refused_piece_waits_and_then_comes_again():
    """It is out of the way of the others for half a second."""
    pending = Pending()
    pending.add([piece(1), piece(2)])
    ((guilty, other),) = (batch,) = pending.batches()
    assert pending.finish(batch, [guilty], now=100.0) == [other]
    pending.retry(100.0 + RETRY_SECONDS - 0.01)
    assert not pending
    pending.retry(100.0 + RETRY_SECONDS)
    assert pending.batches() == [[guilty]]


def test_the_third_try_is_the_last():
    """And a success in between starts the count anew."""
    pending = Pending()
    pending.add([piece(1)])
    for attempt in range(1, MAX_ATTEMPTS):
        ((guilty,),) = (batch,) = pending.batches()
        assert not pending.is_last_try(guilty), attempt
        pending.finish(batch, [guilty], now=float(attempt))
        pending.retry(attempt + 1.0)
    ((guilty,),) = (batch,) = pending.batches()
    assert pending.is_last_try(guilty)
    pending.finish(batch, [], now=10.0)
    assert not pending.is_last_try(guilty)
