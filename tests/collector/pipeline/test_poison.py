"""What the process dies of is tried alone, and put aside; the rest goes on."""

from collections.abc import Callable, Collection
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from qualitrace_collector.dead_letters.replay import replay
from qualitrace_collector.mlflow_store.store import StoreUnavailable
from qualitrace_collector.pipeline import convert_stage, journal_reader
from qualitrace_collector.state import DeadLetters
from support.otlp import attributes, span_id, trace_id
from support.pipeline import Collector, rag


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The numbers of the traces whose conversion kills the process."""
    numbers: set[int] = set()
    convert_all = convert_stage.convert_all

    def convert(pieces: Collection[Any], earlier: Any) -> Any:
        if any(piece.trace_id == trace_id(number) for piece, _ in pieces for number in numbers):
            raise Killed
        return convert_all(pieces, earlier)

    monkeypatch.setattr(convert_stage, "convert_all", convert)
    return numbers


def live(collector: Collector, seconds: float = 10.0) -> int:
    """Run, and start again after each death; return how often it died."""
    for deaths in range(20):
        try:
            collector.run(seconds)
        except Killed:
            collector.restart()
        else:
            return deaths
    raise AssertionError("it dies for ever")


def test_poison_is_put_aside_and_the_rest_is_stored(make: Callable[..., Collector], deadly: set[int]):
    """In front, between and behind; those that came in the same request wait with it and are put aside one by one."""
    collector = make(sampling={"rate": 1})
    deadly |= {1, 5}
    for number in range(1, 9):
        collector.send([*rag(number), *(rag(50) if number == 5 else [])])
    assert live(collector) == 1 + 3 + 1 + 3
    assert [collector.stored(number) for number in (2, 3, 4, 6, 7, 8)] == [3] * 6
    assert collector.journal.pending()[0] == 0
    totals = collector.totals()
    assert (totals["", "stored"], totals["", "dead_lettered"], totals["toxicity", "queued"]) == (6, 3, 6)
    letters = DeadLetters(collector.database)
    found = letters.summaries()
    assert {letter["trace_id"] for letter in found} == {f"tr-{trace_id(number).hex()}" for number in (1, 5, 50)}
    assert all("died 3 times while it worked on this request alone" in letter["error"] for letter in found)
    assert {letter["service"] for letter in found} == {"shop"}

    replay([letters.get(letter["id"]) for letter in found], letters, collector.journal, clock=lambda: collector.now)
    deadly -= {1}
    live(collector)
    assert (collector.stored(1), collector.stored(50), collector.stored(5)) == (3, 3, 0)
    assert [letter["trace_id"] for letter in letters.summaries()] == [f"tr-{trace_id(5).hex()}"]
    assert collector.totals()["", "stored"] == 8


def test_what_kills_while_it_is_decoded_is_put_aside_as_it_came(make: Callable[..., Collector], monkeypatch):
    """Without its traces' ids, which nobody can read; it can be replayed."""
    collector = make()
    records = journal_reader.span_records

    def decode(request: Any, tenant: str) -> Any:
        if b"deadly" in request.SerializeToString():
            raise Killed
        return records(request, tenant)

    monkeypatch.setattr(journal_reader, "span_records", decode)
    collector.send(rag(1))
    collector.send(rag(2, question="deadly"))
    collector.send(rag(3))
    live(collector)
    (letter,) = DeadLetters(collector.database).summaries()
    assert (letter["trace_id"], letter["size"] > 100) == ("request-2", True)
    assert (collector.stored(1), collector.stored(3)) == (3, 3)
    monkeypatch.undo()
    letters = DeadLetters(collector.database)
    replay([letters.get(letter["id"])], letters, collector.journal, clock=lambda: collector.now)
    collector.run()
    assert collector.stored(2) == 3


def test_traces_in_several_requests_stay_whole_when_they_are_tried_alone(
    make: Callable[..., Collector], deadly: set[int]
):
    """Children, log records and roots in requests of their own are merged and judged once; nothing else is put aside."""
    collector = make(sampling={"rate": 1})
    deadly |= {9}
    record = LogRecord(
        trace_id=trace_id(1), span_id=span_id(3), event_name="gen_ai.choice", attributes=attributes({"n": 1})
    )
    collector.send_logs(record)
    for number in (1, 2, 3):
        collector.send(rag(number)[1:])
    collector.send(rag(9))
    for number in (1, 2, 3):
        collector.send(rag(number)[:1])
    live(collector)
    assert [collector.stored(number) for number in (1, 2, 3)] == [3, 3, 3]
    totals = collector.totals()
    assert totals["", "stored"] == totals["toxicity", "queued"] == 3
    assert len(DeadLetters(collector.database).summaries()) == 1
    assert 'qualitrace_requests_total{service="shop"} 3.0' in collector.metrics()


def test_kills_during_an_outage_put_nothing_aside(make: Callable[..., Collector], monkeypatch):
    """Each process is killed while its one request waits for MLflow."""
    collector = make()

    def away(*_: Any) -> None:
        raise StoreUnavailable("down")

    collector.send(rag(1))
    monkeypatch.setattr(collector.store, "save", away)
    for _ in range(8):
        collector.run(3)
        collector.restart()
    monkeypatch.undo()
    collector.run()
    assert collector.totals()["", "stored"] == 1
