"""Batches of due pieces: how large, in which order, and what happens to refused ones."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from qualitrace_collector.piece import Piece, SpanRecord
from qualitrace_collector.pipeline.batch import (
    BATCH_BYTES,
    BATCH_SPANS,
    BATCH_TAGS,
    BULK_BATCH_SPANS,
    MAX_ATTEMPTS,
    RETRY_SECONDS,
    Batch,
    BatchItem,
    BatchQueue,
)
from support.otlp import span, trace_id

REFUSAL = ValueError("no")


def piece(trace: int, spans: int = 1, size: int = 0, tags: int = 0) -> Piece:
    resource = Resource(attributes=[KeyValue(key=str(number)) for number in range(tags)])
    record = SpanRecord(span(trace, 1, text="x" * size), resource, InstrumentationScope())
    return Piece(
        trace_id=trace_id(trace), spans=(record,) * spans, logs=(), root_seen=True, positions=frozenset({trace})
    )


def queue_of(*pieces: Piece) -> BatchQueue:
    queue = BatchQueue()
    queue.add(pieces)
    return queue


def pieces_of(batch: Batch) -> list[Piece]:
    return [item.piece for item in batch.items]


def first_item(queue: BatchQueue) -> BatchItem:
    (batch,) = queue.first(1)
    return batch.items[0]


def drained(queue: BatchQueue) -> list[list[Piece]]:
    """Take everything out as if all of it were stored."""
    batches: list[list[Piece]] = []
    while first := queue.first(1):
        (batch,) = first
        assert queue.finish_first(now=0.0) == pieces_of(batch)
        batches.append(pieces_of(batch))
    return batches


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 400)), max_size=15))
def test_batches_are_bounded_ordered_and_complete(sizes: list[tuple[int, int]]):
    """Every piece comes once and in order; no batch has two of one trace, or many spans unless it is one piece."""
    pieces = [piece(trace, spans) for trace, spans in sizes]
    queue = queue_of(*pieces)
    batches = drained(queue)
    assert [item for batch in batches for item in batch] == pieces
    for batch in batches:
        assert len({item.trace_id for item in batch}) == len(batch)
        assert len(batch) == 1 or sum(len(item.spans) for item in batch) <= BATCH_SPANS
    assert not queue


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 1500)), max_size=15), st.integers(1, 3))
def test_batches_at_hand_have_no_trace_twice(sizes: list[tuple[int, int]], most: int):
    """So the next may be converted before the record of this one is there; those that are not, follow later."""
    pieces = [piece(trace, spans) for trace, spans in sizes]
    queue = queue_of(*pieces)
    seen: list[Piece] = []
    while batches := queue.first(most):
        assert len(batches) <= most
        at_hand = [item.trace_id for batch in batches for item in batch.items]
        assert len(set(at_hand)) == len(at_hand)
        seen += queue.finish_first(now=0.0)
    assert seen == pieces


def test_bulk_takes_turns_with_the_others():
    """What comes behind it waits for one batch of it, also a piece that is tried again; each keeps its own order."""
    bulk, small = [piece(number) for number in range(100, 100 + 3 * BULK_BATCH_SPANS)], [piece(1), piece(2)]
    queue = BatchQueue()
    queue.add(bulk, is_bulk=lambda _: True)
    assert queue.wants_more
    (batch,) = queue.first(1)
    batch.items[0].refuse(REFUSAL)
    queue.add(small)
    assert not queue.wants_more
    queue.finish_first(now=0.0)
    queue.retry(RETRY_SECONDS)
    step = BULK_BATCH_SPANS
    assert drained(queue) == [small, bulk[step : 2 * step], bulk[2 * step :], bulk[:1]]


def test_large_spans_make_small_batches():
    """Bytes count, too: prompts may be long."""
    queue = queue_of(*(piece(number, size=BATCH_BYTES * 2 // 5) for number in range(1, 6)))
    assert [len(batch) for batch in drained(queue)] == [2, 2, 1]


def test_many_attributes_of_resources_make_small_batches():
    """Each becomes a row for each trace: others must not wait for half a million of them."""
    queue = queue_of(*(piece(number, tags=BATCH_TAGS * 2 // 5) for number in range(1, 6)))
    assert [len(batch) for batch in drained(queue)] == [2, 2, 1]


def test_a_batch_stays_until_it_is_finished():
    """When MLflow goes away in the middle, the same pieces begin anew, with what was found out forgotten."""
    queue = queue_of(piece(1), piece(2))
    (batch,) = queue.first(1)
    batch.converted, batch.items[0].service = True, "shop"
    batch.items[1].refuse(REFUSAL)
    queue.start_over()
    (again,) = queue.first(1)
    assert pieces_of(again) == [piece(1), piece(2)]
    assert again == Batch([BatchItem(piece=piece(1)), BatchItem(piece=piece(2))], batch.size)
    assert queue


def test_a_refused_piece_waits_and_then_comes_again():
    """It is out of the way of the others for half a second."""
    queue = queue_of(piece(1), piece(2))
    first_item(queue).refuse(REFUSAL)
    assert queue.finish_first(now=100.0) == [piece(2)]
    queue.retry(100.0 + RETRY_SECONDS - 0.01)
    assert not queue
    queue.retry(100.0 + RETRY_SECONDS)
    assert drained(queue) == [[piece(1)]]


def test_the_third_try_is_the_last():
    """Then the piece is a dead letter, and done with."""
    queue = queue_of(piece(1))
    for attempt in range(1, MAX_ATTEMPTS):
        first_item(queue).refuse(REFUSAL)
        assert first_item(queue).outcome is None, attempt
        assert queue.finish_first(now=float(attempt)) == []
        queue.retry(attempt + 1.0)
    first_item(queue).refuse(REFUSAL)
    assert first_item(queue).outcome == "dead_lettered"
    assert queue.finish_first(now=10.0) == [piece(1)]
    assert not queue.trace_ids()
