"""From the journal to MLflow's human assessments, and to the judges."""

from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Assessment

from qualitrace_collector.journal import JournalEntry
from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state import Opinions
from support.otlp import span, trace_id
from support.pipeline import Collector, rag


def give(collector: Collector, number: int, value: Any, **fields: Any) -> None:
    """Put feedback on a trace into the journal."""
    feedback = PersonFeedback(trace_id=trace_id(number).hex(), name="thumb", value=value, **fields)
    payload = feedback.model_dump_json().encode()
    collector.journal.append([JournalEntry(signal="feedback", payload=payload, received_at=collector.now)])


def human(collector: Collector, number: int) -> list[Assessment]:
    """Return the assessments of a trace in MLflow."""
    client = MlflowClient(collector.store.tracking_uri)
    return list(client.get_trace("tr-" + trace_id(number).hex()).info.assessments)


def test_feedback_becomes_a_human_assessment(make: Callable[..., Collector]):
    """With its value, its comment, who said it, and whether that is an end user or an expert."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    give(collector, 1, True, comment="Nice.", user="ada")
    give(collector, 1, "pass", source="expert")
    collector.run(5)
    found = {(item.source.source_id, item.value, item.rationale): item for item in human(collector, 1)}
    assert set(found) == {("ada", True, "Nice."), ("expert", "pass", None)}
    assert {item.source.source_type for item in found.values()} == {"HUMAN"}
    kinds = {item.metadata["qualitrace.feedback.source"] for item in found.values() if item.metadata}
    assert kinds == {"user", "expert"}
    assert 'qualitrace_feedback_total{outcome="stored",source="user"} 1.0' in collector.metrics()


def test_an_experts_label_is_kept_beside(make: Callable[..., Collector]):
    """The newest of each expert, if it says good or bad; no end user's."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    for value, fields in (
        (True, {"user": "eve"}),
        (True, {"source": "expert", "user": "ada"}),
        ("fail", {"source": "expert", "user": "ada"}),
        (0.9, {"source": "expert", "user": "bob"}),
        ("so so", {"source": "expert", "user": "cid"}),
    ):
        give(collector, 1, value, **fields)
        collector.run(5)
    rows = collector.database.rows("SELECT name, expert, good FROM expert_label ORDER BY expert")
    assert [tuple(row) for row in rows] == [("thumb", "ada", 0), ("thumb", "bob", 1)]
    assert len(Opinions(collector.database).of(["tr-" + trace_id(1).hex()])) == 4  # what pages show: everybody's newest


def test_feedback_waits_for_its_trace(make: Callable[..., Collector]):
    """It may come first, and the server may crash in between."""
    collector = make()
    give(collector, 1, True)
    collector.run()
    collector.restart()
    collector.send(rag(1))
    collector.run(30)
    assert [item.value for item in human(collector, 1)] == [True]
    assert collector.journal.pending()[0] == 0


def test_the_same_feedback_is_stored_once(make: Callable[..., Collector]):
    """Sent again with its id, before and after its trace was stored; the first version stays."""
    collector = make()
    for value in (True, False):
        give(collector, 1, value, id="one")
    collector.run(1)
    collector.send(rag(1))
    collector.run(20)
    give(collector, 1, False, id="one")
    collector.run()
    assert [item.value for item in human(collector, 1)] == [True]


def test_what_users_dislike_is_judged_and_stays_out_of_estimates(make: Callable[..., Collector]):
    """The disliked trace is queued with probability 0 and no longer sampled out; the liked one is not."""
    collector = make(sampling={"rate": 0})
    collector.send([*rag(1), *rag(2)])
    collector.run()
    give(collector, 1, False)
    give(collector, 2, True)
    collector.run()
    tasks = collector.tasks()
    assert {(task.trace_id[-1], task.inclusion_probability) for task in tasks} == {("1", 0.0)}
    assert {task.sample.outputs for task in tasks} == {"A."}
    totals = collector.totals()
    assert (totals["relevance", "queued"], totals["relevance", "sampled_out"]) == (1, 1)


def test_a_picked_trace_keeps_its_probability_when_users_dislike_it(make: Callable[..., Collector]):
    """It is not judged twice, and its score goes on counting."""
    collector = make()
    collector.send(rag(1))
    collector.run()
    give(collector, 1, 0)
    collector.run()
    assert {task.inclusion_probability for task in collector.tasks()} == {1.0}
    assert collector.totals()["relevance", "queued"] == 1


def test_dislike_of_an_unfinished_trace_waits_for_its_end(make: Callable[..., Collector]):
    """Judged by the rate as every complete trace is, not picked after the fact."""
    collector = make(assembly={"max_open": 5})
    root, *children = rag(1)
    collector.send(children)
    collector.run(20)
    give(collector, 1, False)
    collector.run(20)
    assert human(collector, 1) == []
    collector.send([root])
    collector.run(60)
    assert [item.value for item in human(collector, 1)] == [False]
    assert {task.inclusion_probability for task in collector.tasks()} == {1.0}


def test_without_the_stratum_dislike_picks_nothing(make: Callable[..., Collector]):
    """`sampling.always` decides."""
    collector = make(sampling={"rate": 0, "always": ["error"]})
    collector.send(rag(1))
    collector.run()
    give(collector, 1, False)
    collector.run()
    assert (collector.tasks(), len(human(collector, 1))) == ([], 1)


def test_feedback_whose_trace_never_comes_is_given_up_and_counted(make: Callable[..., Collector]):
    """After `assembly.max_age`."""
    collector = make(assembly={"max_age": 20})
    give(collector, 1, True)
    collector.send([span(1, 1)])
    collector.run(70)
    assert 'qualitrace_feedback_total{outcome="expired",source="user"} 1.0' in collector.metrics()
