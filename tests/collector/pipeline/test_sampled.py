"""Which traces are queued for which judge, and how that is accounted for."""

from collections.abc import Callable
from typing import Any

import pytest

from qualitrace_collector.pipeline import sampling
from support.otlp import chat_span, span, trace_id
from support.pipeline import Collector, rag


def test_the_sampling_rate_is_accounted_for(make: Callable[..., Collector]):
    """Each (trace, judge) is either queued or sampled out, and a failed trace is always queued."""
    collector = make(sampling={"rate": 0})
    collector.send([*rag(1), *rag(2, root_error="boom")])
    collector.run()
    assert {task.trace_id for task in collector.tasks()} == {"tr-" + trace_id(2).hex()}
    assert collector.totals()["relevance", "sampled_out"] == 1
    assert collector.totals()["relevance", "queued"] == 1
    assert 'qualitrace_request_errors_total{service="shop"} 1.0' in collector.metrics()


def test_negative_feedback_is_always_judged(make: Callable[..., Collector]):
    """An evaluation event with a score of zero on a span of the trace picks it."""
    collector = make(sampling={"rate": 0})
    thumb = chat_span(1, 1, question="Q?", answer="A.")
    event = thumb.events.add(name="gen_ai.evaluation.result", time_unix_nano=1)
    event.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.0
    collector.send([thumb])
    collector.run()
    assert len(collector.tasks()) == 2


def test_each_judge_has_its_own_rate(make: Callable[..., Collector]):
    """`rate` on a judge overrides `sampling.rate`."""
    collector = make(judges=["relevance", {"name": "toxicity", "rate": 0}])
    collector.send(rag(1))
    collector.run()
    assert [task.judge for task in collector.tasks()] == ["relevance"]


def test_a_trace_picked_after_the_fact_stays_out_of_estimates(make: Callable[..., Collector]):
    """Late negative feedback has the trace judged with probability 0, and it is sampled out no more."""
    collector = make(sampling={"rate": 0})
    collector.send(rag(1))
    collector.run()
    assert collector.totals()["relevance", "sampled_out"] == 1
    thumb = span(1, 9, 1, name="feedback", gen_ai__operation__name="feedback")
    event = thumb.events.add(name="gen_ai.evaluation.result", time_unix_nano=1)
    event.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 0.0
    for _ in range(2):
        collector.send([thumb])
        collector.run(62)
        assert {task.inclusion_probability for task in collector.tasks()} == {0.0}
    assert collector.totals() == {("", "stored"): 1, ("relevance", "queued"): 1, ("toxicity", "queued"): 1}


def test_a_trace_judged_again_keeps_its_probability(make: Callable[..., Collector]):
    """A failed trace was picked for sure; that a late span comes does not change how it was picked."""
    collector = make(sampling={"rate": 1e-9})
    root, retriever, chat = rag(1, root_error="boom")
    collector.send([root, chat])
    collector.run()
    collector.send([retriever])
    collector.run(62)
    assert {(task.sample.passages, task.inclusion_probability) for task in collector.tasks()} == {(("P.",), 1.0)}


def test_content_that_cannot_be_read_does_not_stop_the_rest(make: Callable[..., Collector], monkeypatch):
    """The trace is stored, its judges find nothing to judge, and the others go on."""
    collector = make()
    real = sampling.build_sample

    def broken(spans: Any, service: str) -> Any:
        if any(item.name == "POST /ask" and item.trace_id.endswith("1") for item in spans):
            raise RecursionError
        return real(spans, service)

    monkeypatch.setattr(sampling, "build_sample", broken)
    collector.send([*rag(1), *rag(2)])
    collector.run()
    assert {task.trace_id[-1]: task.sample.outputs for task in collector.tasks()} == {"1": "", "2": "A."}


@pytest.mark.parametrize(("before", "after", "outcome"), [(1, 0, "queued"), (0, 1, "sampled_out")])
def test_a_trace_is_picked_once(make: Callable[..., Collector], before: float, after: float, outcome: str):
    """The rate changed before a late span came: who was picked is judged again, who was not stays out, and all add up."""
    collector = make(sampling={"rate": before})
    root, retriever, chat = rag(1)
    collector.send([root, chat])
    collector.run()
    collector.raw["sampling"] = {"rate": after}
    collector.restart()
    collector.send([retriever])
    collector.run(62)
    assert {task.sample.passages for task in collector.tasks()} == ({("P.",)} if before else set())
    totals = {key: total for key, total in collector.totals().items() if key[0]}
    assert totals == {("relevance", outcome): 1, ("toxicity", outcome): 1}
