"""Judging a trace again whose content changed: what becomes of the scores of its earlier content."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Ledger
from qualitrace_monitors.estimate.estimator import Estimator
from qualitrace_monitors.judges.contract import JudgeError, NotApplicable, Score
from qualitrace_monitors.judging.metrics import JudgeMetrics
from support.judging import Monitor, verdict

PASS, UNSURE = {"value": 1.0, "label": "pass"}, {"value": 0.5, "label": "unsure"}


def estimated(monitor: Monitor) -> dict[str, float]:
    """Return the mean score of each tier's estimate."""
    found = Estimator(monitor.database).estimates(monitor.now, 60)
    return {estimate.tier: estimate.mean_score for estimate in found if estimate.tier != "joined"}


def probabilities(monitor: Monitor) -> dict[str, float]:
    return {score["tier"]: score["inclusion_probability"] for score in monitor.scores()}


def test_changed_content_overrides_the_earlier_verdict(make: Callable[..., Monitor]):
    """The new assessment names the old one, which MLflow marks as invalid; the score is replaced, not added."""
    monitor = make()
    trace_id = monitor.put(1)
    monitor.worker.step()
    (first,) = monitor.assessments(trace_id)
    monitor.put(1, answer="Better.")
    monitor.judge.answers = [verdict(value=1.0, label="pass")]
    monitor.worker.step()
    by_id = {item.assessment_id: item for item in monitor.assessments(trace_id)}
    assert len(by_id) == 2
    (newest,) = [item for item in by_id.values() if item.overrides]
    assert newest.overrides == first.assessment_id
    assert not by_id[first.assessment_id].valid
    assert monitor.verdicts(trace_id) == [("relevance.verdict", "fail", False), ("relevance.verdict", "pass", True)]
    assert [score["label"] for score in monitor.scores()] == ["pass"]
    assert monitor.outcomes() == {"scored": 1}


def test_a_models_score_of_earlier_content_leaves_the_estimates(make: Callable[..., Monitor]):
    """The local verdict on new content is sure: the model's old score counts no more, and its new one overrides it."""
    monitor = make()
    monitor.cascade(audit_rate=0.0)
    monitor.judge.answers = [verdict(**UNSURE), verdict(**PASS)]
    monitor.model.answers = [verdict(value=0.1), verdict(value=0.9, label="pass")]
    trace_id = monitor.put(1, answer="Before.")
    monitor.worker.step()
    monitor.model_worker.step()
    assert estimated(monitor) == {"local": 0.5, "llm": pytest.approx(0.1)}
    monitor.put(1, answer="After.")
    monitor.worker.step()
    assert estimated(monitor) == {"local": 1.0}
    monitor.model_worker.step()
    assert estimated(monitor) == {"local": 1.0, "llm": pytest.approx(0.9)}
    assert [sample.outputs for sample in monitor.model.seen] == ["Before.", "After."]
    valid = {(item.metadata["qualitrace.tier"], item.value) for item in monitor.assessments(trace_id) if item.valid}
    assert valid == {("local", 1.0), ("llm", 0.9)}


@pytest.mark.parametrize(("labels", "probability"), [("pass unsure", 0.5), ("unsure pass", 0.5), ("pass pass", 0.1)])
def test_a_model_that_is_asked_again_weighs_by_the_surest_pick(
    make: Callable[..., Monitor], labels: str, probability: float
):
    """Once unsure the trace was sure to be picked; of those always sure a fifth was: so far from all traffic, half."""
    monitor = make()
    monitor.cascade(audit_rate=0.2)
    picked = next(n for n in range(1, 100) if monitor.then.picks(f"tr-{n:032x}", 0.2))
    for turn, label in enumerate(labels.split()):
        monitor.judge.answers = [verdict(label=label)]
        monitor.put(picked, answer=f"Answer {turn}")
        monitor.worker.step()
        monitor.model_worker.step()
    assert probabilities(monitor) == {"local": 0.5, "llm": pytest.approx(probability)}


@pytest.mark.parametrize(
    ("error", "outcome"), [(NotApplicable("no passages"), "not_applicable"), (JudgeError("no verdict"), "failed")]
)
def test_content_without_a_verdict_has_no_score_in_the_estimates(
    make: Callable[..., Monitor], error: Exception, outcome: str
):
    """The scores of what the trace held before leave, and the model is asked about what it holds now."""
    monitor = make()
    monitor.cascade(audit_rate=1.0)
    monitor.put(1, answer="Before.")
    monitor.worker.step()
    monitor.model_worker.step()
    monitor.judge.answers = [error]
    monitor.model.answers = [error]
    monitor.put(1, answer="After.")
    monitor.worker.step()
    assert estimated(monitor) == {}
    monitor.model_worker.step()
    assert estimated(monitor) == {}
    assert monitor.model.seen[-1].outputs == "After."
    assert monitor.outcomes() == {outcome: 1}


def test_a_verdict_on_content_that_changed_meanwhile_is_not_told(make: Callable[..., Monitor]):
    """Spans came while the model was thinking: MLflow never has its word on what the trace no longer holds; it is paid."""
    monitor = make("llm")
    answer = monitor.judge.score

    def interrupted(sample: Sample) -> Score:
        monitor.put(1, answer="After.")
        return answer(sample)

    monitor.judge.score = interrupted
    monitor.judge.answers = [verdict(value=0.1, input_tokens=50), verdict(value=0.9, label="pass", input_tokens=50)]
    trace_id = monitor.put(1, answer="Before.")
    monitor.worker.step()
    assert monitor.assessments(trace_id) == []
    assert monitor.outcomes() == {"queued": 1}
    monitor.worker.step()
    assert [item.value for item in monitor.assessments(trace_id)] == [0.9]
    assert [score["value"] for score in monitor.scores()] == [0.9]
    assert monitor.database.connection().execute("SELECT calls, tokens FROM spend").fetchone()[:] == (2, 100)


@pytest.mark.parametrize("labels", ["pass pass", "unsure pass", "pass unsure", "unsure unsure", "pass unsure pass"])
def test_a_trace_judged_again_counts_once_for_the_model(make: Callable[..., Monitor], labels: str):
    """However often the local verdict changes, the model's ledger holds the trace once: queued once it was unsure."""
    monitor = make()
    monitor.cascade(audit_rate=0.0)
    monitor.judge.answers = [verdict(label=label) for label in labels.split()]
    for turn in range(len(labels.split())):
        monitor.put(1, answer=f"Answer {turn}")
        monitor.worker.step()
    outcome = "queued" if "unsure" in labels else "sampled_out"
    totals = {row["outcome"]: row["total"] for row in Ledger(monitor.database).totals() if row["judge"] != "relevance"}
    assert {name: total for name, total in totals.items() if total} == {outcome: 1}


def test_weights_count_a_trace_once(make: Callable[..., Monitor]):
    """A trace that is judged again, also by the next process, adds nothing to the counters of weights."""
    monitor = make()
    monitor.put(1, answer="Before.")
    monitor.worker.step()
    for answer in ("After.", "At last."):
        monitor.put(1, answer=answer)
        monitor.worker.step()
        monitor.restart()
    assert len(monitor.judge.seen) == 3
    labels = {"judge": "relevance", "tier": "local", "service": "shop"}
    read = monitor.registry.get_sample_value
    assert read("qualitrace_evaluations_total", {"result": "fail", **labels}) == 3
    assert read("qualitrace_evaluations_weight_total", {"result": "fail", **labels}) == 2.0


def test_a_service_that_was_judged_before_begins_at_zero(make: Callable[..., Monitor]):
    """After a restart its counters are there before its first score, so that Prometheus sees the increase."""
    monitor = make()
    monitor.put(1)
    monitor.worker.step()
    monitor.registry = CollectorRegistry()
    monitor.metrics = JudgeMetrics(monitor.registry)
    monitor.restart()
    labels = {"judge": "relevance", "tier": "local", "service": "shop"}
    assert monitor.registry.get_sample_value("qualitrace_evaluations_weight_total", {"result": "pass", **labels}) == 0
