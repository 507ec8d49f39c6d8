"""What cannot be stored goes to the dead letters, does not stop the others, and can be replayed."""

from collections.abc import Callable

import pytest

from qualitrace_collector.dead_letters.replay import replay
from qualitrace_collector.journal import JournalEntry, SignalName
from qualitrace_collector.state import DeadLetters
from support.otlp import request, span, trace_id
from support.pipeline import Collector, rag


def test_a_trace_that_cannot_be_stored_goes_to_the_dead_letters(make: Callable[..., Collector], monkeypatch):
    """It is tried three times, kept with its error and its spans, and does not stop the others."""
    collector = make()
    save = collector.store.save
    guilty = "tr-" + trace_id(1).hex()
    tries: list[int] = []

    def refusing(traces: list) -> dict[str, Exception]:
        refused = {
            trace.trace_id: ValueError("too odd\n[parameters: 'Q?']") for trace in traces if trace.trace_id == guilty
        }
        tries.append(len(refused))
        return save([trace for trace in traces if trace.trace_id != guilty]) | refused

    monkeypatch.setattr(collector.store, "save", refusing)
    collector.send([*rag(1), *rag(2)])
    collector.run()
    assert sum(tries) == 3
    assert collector.stored(2) == 3
    assert collector.totals()["", "dead_lettered"] == 1
    letter = collector.database.connection().execute("SELECT * FROM dead_letter").fetchone()
    assert (letter["trace_id"], letter["error"]) == (guilty, "too odd")
    assert type(request([])).FromString(letter["traces"]).resource_spans[0].scope_spans[0].spans[
        0
    ].trace_id == trace_id(1)
    assert collector.journal.pending()[0] == 0


@pytest.mark.parametrize("rate", [0, 1])
def test_a_replayed_letter_takes_the_normal_way(make: Callable[..., Collector], monkeypatch, rate: int):
    """Once MLflow takes it, its outcome moves to stored, each judge has one outcome, and the request counts once."""
    collector = make(sampling={"rate": rate})
    monkeypatch.setattr(collector.store, "save", lambda traces: {trace.trace_id: ValueError("no") for trace in traces})
    collector.send(rag(1))
    collector.run()
    assert collector.totals() == {("", "dead_lettered"): 1}
    monkeypatch.undo()
    box = DeadLetters(collector.database)
    (letter,) = box.summaries()
    replay([box.get(letter["id"])], box, collector.journal, clock=lambda: collector.now)
    collector.run()
    outcome = "queued" if rate else "sampled_out"
    assert collector.totals() == {("", "stored"): 1, ("relevance", outcome): 1, ("toxicity", outcome): 1}
    assert collector.stored(1) == 3
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()
    assert box.count() == 0


def test_a_late_piece_that_is_given_up_and_replayed_counts_nothing_twice(make: Callable[..., Collector], monkeypatch):
    """The trace was complete before: its judges have their outcome, and its request was measured."""
    collector = make(sampling={"rate": 0})
    collector.send(rag(1))
    collector.run()
    late = [span(1, 4, 1, gen_ai__system="x")]
    monkeypatch.setattr(collector.store, "save", lambda traces: {trace.trace_id: ValueError("no") for trace in traces})
    collector.send([*rag(1)[:1], *late])
    collector.run()
    assert collector.totals()["", "dead_lettered"] == 1
    monkeypatch.undo()
    box = DeadLetters(collector.database)
    (letter,) = box.summaries()
    replay([box.get(letter["id"])], box, collector.journal, clock=lambda: collector.now)
    collector.run()
    assert collector.stored(1) == 4
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1, ("toxicity", "sampled_out"): 1}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_trace_given_up_is_not_taken_for_one_without_a_root(make: Callable[..., Collector], monkeypatch):
    """After max_age only what MLflow has is judged."""
    collector = make(assembly={"max_age": "1h"})
    monkeypatch.setattr(collector.store, "save", lambda traces: {trace.trace_id: ValueError("no") for trace in traces})
    collector.send(rag(1))
    collector.run()
    collector.now += 3700
    collector.run()
    assert collector.totals() == {("", "dead_lettered"): 1}
    assert collector.tasks() == []


def test_poison_does_not_block(make: Callable[..., Collector], monkeypatch):
    """While one trace is refused and waits for its next try, the traces behind it are stored."""
    collector = make()
    save = collector.store.save
    guilty = "tr-" + trace_id(1).hex()
    monkeypatch.setattr(
        collector.store,
        "save",
        lambda traces: (
            save([trace for trace in traces if trace.trace_id != guilty])
            | {trace.trace_id: ValueError("odd") for trace in traces if trace.trace_id == guilty}
        ),
    )
    collector.send(rag(1))
    collector.pipeline.step()
    collector.send(rag(2))
    collector.pipeline.step()
    collector.now += 2.5
    for _ in range(4):
        collector.pipeline.step()
    assert collector.stored(2) == 3
    assert collector.totals()["", "stored"] == 1
    assert ("", "dead_lettered") not in collector.totals()


@pytest.mark.parametrize("signal", ["traces", "logs", "feedback"])
def test_an_undecodable_journal_entry_does_not_stop_the_rest(make: Callable[..., Collector], signal: SignalName):
    """Garbage in the journal (a damaged disk) is put aside with its error, whatever it was."""
    collector = make()
    collector.journal.append([JournalEntry(signal=signal, payload=b"\xff\xff", received_at=0.0)])
    collector.send(rag(1))
    collector.run()
    assert collector.stored(1) == 3
    assert collector.totals()["", "dead_lettered"] == 1
    assert collector.journal.pending()[0] == 0
