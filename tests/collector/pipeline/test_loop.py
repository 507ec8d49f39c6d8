"""From the journal to MLflow and the judges' queue, over crashes, outages and late spans."""

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities import TraceState

from qualitrace_collector.journal import SqliteJournal
from qualitrace_collector.mlflow_store.store import StoreUnavailable
from qualitrace_collector.pipeline.recorder import Recorder
from support.otlp import REMOTE_PARENT, span, trace_id
from support.pipeline import Collector, rag


def test_a_trace_is_stored_queued_measured_and_settled(make: Callable[..., Collector]):
    """The whole way once: MLflow has the spans, each judge a task, the metrics a request, the journal nothing."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    assert collector.stored(1) == 3
    tasks = collector.tasks()
    assert {task.judge for task in tasks} == {"relevance", "toxicity"}
    assert {task.sample.inputs for task in tasks} == {"Q?"}
    assert {task.sample.passages for task in tasks} == {("P.",)}
    assert tasks[0].inclusion_probability == 1.0
    assert collector.totals() == {("", "stored"): 1, ("relevance", "queued"): 1, ("toxicity", "queued"): 1}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()
    assert 'qualitrace_tokens_total{model="gpt-4o-mini",service="shop",type="input"} 14.0' in collector.metrics()
    assert collector.journal.pending() == (0, 0)


def test_a_crash_before_the_journal_is_settled_repeats_nothing(make: Callable[..., Collector], monkeypatch):
    """Stored and recorded, but not deleted from the journal: the replay leaves one trace, one task a judge, one count."""
    collector = make()
    collector.send(rag(1))
    monkeypatch.setattr(SqliteJournal, "delete_done", lambda *_: None)
    collector.run()
    monkeypatch.undo()
    before = {task.judge: task.sample.content_hash for task in collector.tasks()}
    collector.restart()
    assert collector.journal.pending()[0] == 1
    collector.run()
    assert collector.stored(1) == 3
    assert {task.judge: task.sample.content_hash for task in collector.tasks()} == before
    assert collector.totals() == {("", "stored"): 1, ("relevance", "queued"): 1, ("toxicity", "queued"): 1}
    assert collector.journal.pending()[0] == 0


def test_a_crash_between_mlflow_and_the_record_loses_nothing(make: Callable[..., Collector], monkeypatch):
    """Stored in MLflow, but not recorded: after the restart the trace is recorded and queued."""
    collector = make()
    collector.send(rag(1))

    def crash(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(Recorder, "record", crash)
    with pytest.raises(SystemExit):
        collector.run()
    monkeypatch.undo()
    assert collector.stored(1) == 3
    collector.restart()
    collector.run()
    assert collector.stored(1) == 3
    assert len(collector.tasks()) == 2


def test_an_outage_of_mlflow_keeps_everything_in_the_journal(make: Callable[..., Collector], monkeypatch):
    """While MLflow is away nothing is settled or given up; afterwards all is stored."""
    collector = make()

    def away(*_: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(collector.store, "save", away)
    collector.send(rag(1))
    collector.run(300)
    assert collector.journal.pending()[0] == 1
    assert collector.totals() == {}
    assert collector.pipeline.step() == 30.0
    monkeypatch.undo()
    collector.run(60)
    assert collector.stored(1) == 3
    assert collector.journal.pending()[0] == 0


def test_one_request_with_two_traces_is_settled_after_both(make: Callable[..., Collector]):
    """A trace that still runs keeps its request in the journal, so that a crash does not lose its spans."""
    collector = make()
    collector.send([*rag(1), span(2, 2, parent=1, gen_ai__system="x")])
    collector.run()
    assert collector.stored(1) == 3
    assert collector.journal.pending()[0] == 1
    collector.send([span(2, 1)])
    collector.run()
    assert collector.stored(2) == 2
    assert collector.journal.pending()[0] == 0


def test_a_long_trace_appears_unfinished_and_is_judged_when_its_root_comes(make: Callable[..., Collector]):
    """After a minute MLflow shows it IN_PROGRESS; the judges get the whole of it, once."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(62)
    assert collector.stored(1) == 2
    assert collector.tasks() == []
    assert "qualitrace_requests_total{" not in collector.metrics()
    collector.restart()
    collector.send(rag(1)[:1])
    collector.run()
    assert collector.stored(1) == 3
    assert {task.sample.passages for task in collector.tasks()} == {("P.",)}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_trace_whose_spans_go_on_coming_ends_after_max_age(make: Callable[..., Collector]):
    """It is never silent, and its root never comes: then it is judged with what there is, once."""
    collector = make(assembly={"max_age": "10m"})
    collector.send(rag(1)[1:])
    for minute in range(9):
        collector.run(60)
        collector.send([span(1, 10 + minute, 1)])
    assert collector.tasks() == []
    for minute in range(9, 15):
        collector.run(60)
        collector.send([span(1, 10 + minute, 1)])
    assert {task.sample.outputs for task in collector.tasks()} == {"A."}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_late_span_is_merged_and_the_trace_judged_again(make: Callable[..., Collector]):
    """Passages that arrive after the root's batch change the sample: the same tasks, new content."""
    collector = make()
    root, retriever, chat = rag(1)
    collector.send([root, chat])
    collector.run()
    assert {task.sample.passages for task in collector.tasks()} == {()}
    collector.send([retriever])
    collector.run(5)
    assert collector.stored(1) == 3
    assert {task.sample.passages for task in collector.tasks()} == {("P.",)}
    assert collector.totals()["relevance", "queued"] == 1
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_a_trace_without_genai_is_counted_not_stored(make: Callable[..., Collector]):
    """Health checks do not fill MLflow; `keep: all` stores them."""
    collector = make()
    collector.send([span(1, 1, name="GET /healthz")])
    collector.run()
    assert collector.stored(1) == 0
    assert collector.totals() == {("", "not_genai"): 1}


def test_genai_spans_after_other_spans_of_their_trace_are_counted(make: Callable[..., Collector]):
    """A gateway's spans come first and show no GenAI; the application's, seconds later, are measured and sampled."""
    collector = make(judges=[{"name": "relevance", "rate": 0}])
    collector.send([span(1, 9, name="GET /ask")], service="gateway")
    collector.run()
    _, *rest = rag(1)
    collector.send([span(1, 1, 9, name="POST /ask", flags=REMOTE_PARENT), *rest])
    collector.run()
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1}
    assert "qualitrace_requests_total{" in collector.metrics()
    assert 'type="input"} 14.0' in collector.metrics()


def test_a_long_trace_that_begins_without_genai_is_judged_when_its_root_comes(make: Callable[..., Collector]):
    """Its first minute shows database calls only, its second a model call, its end the root: it is counted once."""
    collector = make()
    collector.send([span(1, 5, 1, name="SELECT")])
    collector.run(62)
    root, *rest = rag(1)
    collector.send(rest)
    collector.run(62)
    assert collector.tasks() == []
    collector.send([root])
    collector.run()
    assert {task.judge for task in collector.tasks()} == {"relevance", "toxicity"}
    assert 'qualitrace_requests_total{service="shop"} 1.0' in collector.metrics()


def test_keep_all_stores_every_trace(make: Callable[..., Collector]):
    """The user asked for it."""
    collector = make(mlflow={"keep": "all"})
    collector.send([span(1, 1, name="GET /healthz")])
    collector.run()
    assert collector.stored(1) == 1


def test_late_genai_spans_of_a_trace_without_any_are_judged(make: Callable[..., Collector]):
    """Its root came before and was not kept; the judges get what is stored, once, and each has one outcome."""
    collector = make(sampling={"rate": 0})
    collector.send([span(1, 1, name="GET /")])
    collector.run()
    assert collector.totals() == {("", "not_genai"): 1}
    collector.send(rag(1)[1:])
    collector.run(5)
    assert collector.totals() == {("", "stored"): 1, ("relevance", "sampled_out"): 1, ("toxicity", "sampled_out"): 1}
    info = collector.store.call(lambda store: store.get_trace_info("tr-" + trace_id(1).hex()))
    assert (info.state, info.request_preview) == (TraceState.OK, '"Q?"')


def test_draining_stores_what_is_complete_and_leaves_the_rest(make: Callable[..., Collector]):
    """At SIGTERM complete traces need no quiet period; unfinished ones stay in the journal for the next start."""
    collector = make()
    collector.send(rag(1))
    collector.send([span(2, 2, parent=1, gen_ai__system="x")])
    collector.pipeline.drain(deadline=collector.now + 5)
    assert collector.stored(1) == 3
    assert collector.stored(2) == 0
    assert collector.journal.pending()[0] == 1
