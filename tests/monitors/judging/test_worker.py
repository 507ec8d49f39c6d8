"""From the queue to assessments and scores, over crashes, busy providers and budgets."""

import errno
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Feedback
from prometheus_client import generate_latest

from qualitrace_collector.mlflow_store.store import StoreUnavailable
from qualitrace_collector.mlflow_store.unavailable import Unanswered
from qualitrace_collector.state import Ledger
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.judges.contract import JudgeError, NotApplicable, TransientJudgeError, Usage
from qualitrace_monitors.judges.settings import Budget
from qualitrace_monitors.judging import unpaid, worker
from qualitrace_monitors.judging.calls import CallsInTurn
from qualitrace_monitors.judging.judgement import Judgement
from qualitrace_monitors.judging.worker import AWAY_SECONDS
from support.judging import METADATA, MIDNIGHT, Monitor, verdict


def test_a_verdict_becomes_an_assessment_a_score_and_metrics(make: Callable[..., Monitor]):
    """Source, rationale, version, label and inclusion probability stand on the trace in MLflow, and the verdict beside them."""
    monitor = make()
    trace_id = monitor.put(1)
    assert monitor.worker.step() == 0.0
    (assessment,) = monitor.assessments(trace_id)
    assert (assessment.name, assessment.value, assessment.rationale) == ("relevance", 0.25, "off topic")
    assert (assessment.source.source_type, assessment.source.source_id) == ("CODE", "test/relevance")
    assert assessment.metadata["qualitrace.label"] == "fail"
    assert assessment.metadata["qualitrace.judge_version"] == "v1"
    assert assessment.metadata["qualitrace.inclusion_probability"] == "0.5"
    assert monitor.verdicts(trace_id) == [("relevance.verdict", "fail", True)]
    (score,) = monitor.scores()
    assert (score["value"], score["label"]) == (0.25, "fail")
    assert {name: score[name] for name in METADATA} == METADATA
    assert score["assessment_id"] == assessment.assessment_id
    assert monitor.outcomes() == {"scored": 1}
    text = generate_latest(monitor.registry).decode()
    assert 'qualitrace_evaluations_total{judge="relevance",result="fail",service="shop",tier="local"} 1.0' in text
    assert 'qualitrace_freshness_seconds_sum{judge="relevance",service="shop"} 3.0' in text


def test_an_llm_judge_is_named_as_one(make: Callable[..., Monitor]):
    """MLflow's UI shows LLM judges differently."""
    monitor = make("llm")
    trace_id = monitor.put(1)
    monitor.worker.step()
    assert monitor.assessments(trace_id)[0].source.source_type == "LLM_JUDGE"


def test_a_crash_after_the_assessment_leaves_one_assessment_and_one_score(make: Callable[..., Monitor], monkeypatch):
    """The judgement is repeated; its assessment has the same id and counts once."""
    monitor = make()
    trace_id = monitor.put(1)

    def crash(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(worker, "write", crash)
    with pytest.raises(SystemExit):
        monitor.worker.step()
    monkeypatch.undo()
    assert len(monitor.assessments(trace_id)) == 1
    assert monitor.scores() == []
    monitor.restart()
    monitor.worker.step()
    assert len(monitor.assessments(trace_id)) == len(monitor.verdicts(trace_id)) == 1
    assert len(monitor.scores()) == 1


def test_a_judge_that_lacks_something_says_so(make: Callable[..., Monitor]):
    """Neither a pass nor a fail; no assessment."""
    monitor = make()
    trace_id = monitor.put(1)
    monitor.judge.answers = [NotApplicable("no passages")]
    monitor.worker.step()
    assert monitor.outcomes() == {"not_applicable": 1}
    assert monitor.assessments(trace_id) == []
    assert monitor.scores() == []


def test_a_failed_judge_is_not_a_fail_score(make: Callable[..., Monitor]):
    """An error and a bug of the judge are both counted as failed, and do not stop the next sample."""
    monitor = make()
    for number in (1, 2, 3):
        monitor.put(number)
    monitor.judge.answers = [JudgeError("no verdict"), ZeroDivisionError()]
    monitor.worker.step()
    assert monitor.outcomes() == {"failed": 2, "scored": 1}
    assert len(monitor.scores()) == 1
    assert (
        'qualitrace_judge_errors_total{judge="relevance",kind="permanent"} 2.0'
        in generate_latest(monitor.registry).decode()
    )


def test_a_busy_provider_is_asked_again_when_it_said(make: Callable[..., Monitor]):
    """Retry-After is honoured; nothing is lost, and nothing counts as failed."""
    monitor = make()
    monitor.put(1)
    monitor.judge.answers = [TransientJudgeError("429", retry_after=30.0)]
    monitor.worker.step()
    monitor.now += 29
    assert monitor.worker.step() > 0
    monitor.now += 1
    monitor.worker.step()
    assert len(monitor.judge.seen) == 2
    assert monitor.outcomes() == {"scored": 1}


def test_a_provider_that_is_down_is_not_asked_for_every_sample(make: Callable[..., Monitor]):
    """The first failure pauses the judge: ten samples cost one call, then one each time the pause, grown, is over."""
    monitor = make("llm")
    for number in range(1, 11):
        monitor.put(number)
    monitor.judge.answers = [TransientJudgeError("connection refused")] * 100
    pauses = []
    for _ in range(8):
        began = monitor.now
        monitor.worker.drain(deadline=monitor.now + 5)
        calls = len(monitor.judge.seen)
        while len(monitor.judge.seen) == calls:
            monitor.now += 1
            monitor.worker.step()
        pauses.append(monitor.now - began)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    assert monitor.outcomes() == {"queued": 10}


def times_asked(monitor: Monitor, seconds: int) -> list[float]:
    """Work for so long; return when the judge was asked, in seconds from now."""
    began, times = monitor.now, list[float]()
    for _ in range(seconds):
        calls = len(monitor.judge.seen)
        monitor.worker.step()
        times += [monitor.now - began] * (len(monitor.judge.seen) - calls)
        monitor.now += 1
    return times


def test_a_provider_that_asks_for_an_hour_is_probed_earlier(make: Callable[..., Monitor]):
    """By one call, after 1, 2, 4, 8 and then each 10 minutes, whatever it goes on asking for; nothing is lost."""
    monitor = make("llm")
    for number in range(1, 11):
        monitor.put(number)
    monitor.judge.answers = [TransientJudgeError("quota", retry_after=3600.0)] * 100
    assert times_asked(monitor, 2701) == [0, 60, 180, 420, 900, 1500, 2100, 2700]
    monitor.judge.answers = []
    assert len(times_asked(monitor, 610)) == 10
    assert monitor.outcomes() == {"scored": 10}


def test_a_provider_that_is_away_is_told_long_before_its_third_refusal(make: Callable[..., Monitor]):
    """It asks for an hour, and is asked a few times in it; the first verdict ends the problem."""
    monitor = make("llm")
    monitor.put(1)
    monitor.judge.answers = [verdict(), TransientJudgeError("quota", retry_after=3600.0)]
    monitor.worker.step()
    monitor.put(2)
    monitor.worker.step()
    (queue,) = monitor.worker.queues
    monitor.now += AWAY_SECONDS
    assert monitor.worker.problem(queue) == ""
    monitor.now += 5
    assert monitor.worker.problem(queue) == f"no verdict for {AWAY_SECONDS + 5:.0f} s: see the log"
    monitor.now += 60
    monitor.worker.step()
    assert (monitor.worker.problem(queue), monitor.worker.failing(queue)) == ("", 0)


def test_a_clock_that_is_set_back_prolongs_no_pause(make: Callable[..., Monitor]):
    """Nor does it hide one: what is reported began when the clock was set."""
    monitor = make("llm")
    monitor.put(1)
    monitor.judge.answers = [TransientJudgeError("quota", retry_after=3600.0)]
    monitor.worker.step()
    (queue,) = monitor.worker.queues
    monitor.now -= 86_400
    assert monitor.worker.failing(queue) == 0
    monitor.now += AWAY_SECONDS + 1
    assert monitor.worker.problem(queue) != ""
    monitor.put(2)
    monitor.worker.step()
    assert len(monitor.judge.seen) == 2
    assert monitor.worker.problem(queue) == ""


class HeldCalls(CallsInTurn[Judgement]):
    """Calls that run, and end, only when the test says so."""

    def __init__(self) -> None:
        super().__init__(10)
        self.held: list[Callable[[], Judgement]] = []

    def begin(self, call: Callable[[], Judgement]) -> None:
        self.held.append(call)

    def run(self) -> None:
        while self.held:
            super().begin(self.held.pop(0))


def test_a_provider_is_probed_by_one_call_at_once(make: Callable[..., Monitor]):
    """Until its answer comes no other call is begun, however long that takes; then all may."""
    monitor = make("llm")
    for number in range(1, 11):
        monitor.put(number)
    calls = HeldCalls()
    monitor.new_calls = lambda: calls
    monitor.restart()
    monitor.worker.step()
    assert len(calls.held) == 10
    monitor.judge.answers = [TransientJudgeError("busy")] * 11
    for pause in (2, 4):
        calls.run()
        monitor.worker.step()
        assert calls.held == []
        monitor.now += pause
        for _ in range(3):
            monitor.worker.step()
            monitor.now += 1
        assert len(calls.held) == 1
        monitor.judge.answers = [TransientJudgeError("busy")]
    monitor.judge.answers = []
    calls.run()
    monitor.worker.step()
    monitor.now += 10
    monitor.worker.step()
    assert len(calls.held) == 9


@pytest.mark.parametrize("answer", [verdict(), JudgeError("no verdict"), NotApplicable("no passages")])
def test_an_answer_to_a_probe_lets_judging_go_on(make: Callable[..., Monitor], answer: Any):
    """A reply without a verdict shows as well that the provider is there; a sample that needs no call blocks nothing."""
    monitor = make("llm")
    for number in range(1, 11):
        monitor.put(number)
    monitor.judge.answers = [TransientJudgeError("busy", retry_after=30.0), answer]
    assert times_asked(monitor, 31) == [0, 30]
    assert len(times_asked(monitor, 5)) == 9
    assert "queued" not in monitor.outcomes()


def test_a_kept_verdict_is_no_answer_to_a_probe(make: Callable[..., Monitor]):
    """It comes from the cache, whoever is away: the others wait for the provider's own answer, and pauses grow on."""
    monitor = make("llm")
    monitor.put(1, answer="A.")
    monitor.worker.step()
    monitor.judge.answers = [TransientJudgeError("connection refused")] * 100
    monitor.put(2)
    assert times_asked(monitor, 2) == [0]
    monitor.put(3, answer="A.")
    for number in range(4, 10):
        monitor.put(number)
    assert times_asked(monitor, 20) == [1, 5, 13]
    assert monitor.outcomes() == {"scored": 2, "queued": 7}


@pytest.mark.parametrize(("asked", "pause"), [(0.0, 2), (45.0, 45), (float("inf"), 60)])
def test_no_provider_makes_the_worker_spin_or_wait_forever(make: Callable[..., Monitor], asked: float, pause: int):
    """Retry-After of nothing, and of for ever, are brought to sane pauses."""
    monitor = make("llm")
    monitor.put(1)
    monitor.judge.answers = [TransientJudgeError("429", retry_after=asked)]
    monitor.worker.step()
    monitor.now += pause - 1
    monitor.worker.step()
    assert len(monitor.judge.seen) == 1
    monitor.now += 1
    monitor.worker.step()
    assert monitor.outcomes() == {"scored": 1}


def test_a_sample_expires_after_a_day(make: Callable[..., Monitor]):
    """A provider that is away for a day leaves old samples unjudged, and accounted for."""
    monitor = make()
    monitor.put(1)
    monitor.now += 86_401
    monitor.worker.step()
    assert monitor.outcomes() == {"expired": 1}
    assert monitor.judge.seen == []


@pytest.mark.parametrize(
    ("budget", "spent"),
    [({"usd_per_day": 0.01}, {"cost_usd": 0.01}), ({"tokens_per_day": 100}, {"input_tokens": 90, "output_tokens": 10})],
)
def test_what_a_spent_budget_cannot_pay_waits_until_midnight(make: Callable[..., Monitor], budget: dict, spent: dict):
    """The limit holds over a restart; the next UTC day starts anew and nothing is lost."""
    monitor = make("llm", **budget)
    monitor.judge.answers = [verdict(**spent)]
    monitor.put(1)
    monitor.worker.step()
    monitor.put(2)
    monitor.restart()
    monitor.worker.step()
    assert monitor.outcomes() == {"scored": 1, "queued": 1}
    monitor.now = MIDNIGHT + 86_400
    monitor.worker.step()
    assert monitor.outcomes() == {"scored": 2}


def test_what_no_budget_pays_for_in_a_day_is_skipped(make: Callable[..., Monitor]):
    """A budget of nothing accounts for each sample once it is a day old."""
    monitor = make("llm", tokens_per_day=0)
    monitor.put(1)
    monitor.worker.step()
    assert monitor.outcomes() == {"queued": 1}
    monitor.now += 86_400 + 1
    monitor.worker.step()
    assert monitor.outcomes() == {"budget_skipped": 1}
    assert monitor.judge.seen == []


def test_what_was_paid_for_before_is_not_skipped(make: Callable[..., Monitor]):
    """A verdict in the cache costs nothing, so an empty budget is not a reason to give the sample up."""
    monitor = make("llm")
    monitor.put(1, answer="A.")
    monitor.worker.step()
    monitor.budget = Budget(tokens_per_day=0)
    monitor.restart()
    monitor.put(2, answer="A.")
    monitor.now += 86_400 + 1
    monitor.worker.step()
    assert monitor.outcomes() == {"scored": 2}
    assert len(monitor.judge.seen) == 1


def test_what_was_paid_for_before_does_not_wait_for_a_budget(make: Callable[..., Monitor], monkeypatch):
    """It is found among samples that wait, wherever it stands, and they are not asked for."""
    monkeypatch.setattr(unpaid, "LOOK_AT", 2)
    monitor = make("llm")
    monitor.put(1, answer="A.")
    monitor.worker.step()
    monitor.budget = Budget(tokens_per_day=0)
    monitor.restart()
    for number, answer in enumerate(("B.", "C.", "D.", "A.", "E."), 2):
        monitor.put(number, answer=answer)
    for _ in range(4):
        monitor.worker.step()
    assert monitor.outcomes() == {"scored": 2, "queued": 4}
    monitor.now -= 10
    monitor.put(7, answer="A.")  # in front of those that were looked at
    monitor.now += 10
    for _ in range(4):
        monitor.worker.step()
    assert monitor.outcomes() == {"scored": 3, "queued": 4}
    assert len(monitor.judge.seen) == 1


def test_a_cached_verdict_makes_picks_cheaper(make: Callable[..., Monitor]):
    """One call of 50 tokens for four traces with the same texts: a pick is expected to cost a quarter."""
    monitor = make("llm")
    monitor.judge.answers = [verdict(input_tokens=50)]
    for number in range(1, 5):
        monitor.put(number, answer="A.")
        monitor.worker.step()
    spending = Spending(monitor.budget, [], monitor.database)
    assert spending.expected_cost("relevance")["tokens"] == 50
    assert spending.expected_cost_of_pick("relevance", monitor.now)["tokens"] == 12.5


def test_a_limit_is_exceeded_by_no_more_than_what_is_in_flight(make: Callable[..., Monitor]):
    """Once a call's cost is known the budget of 1,000 tokens pays for ten calls of 100, not for a batch of ten more."""
    monitor = make("llm", tokens_per_day=1000)
    monitor.judge.answers = [verdict(input_tokens=100) for _ in range(30)]
    for number in range(30):
        monitor.put(number + 1)
    for _ in range(6):
        monitor.worker.step()
        monitor.now += 2
    assert len(monitor.judge.seen) == 10


def test_tokens_of_a_reply_without_a_verdict_are_paid_too(make: Callable[..., Monitor]):
    """An unreadable reply spends the budget: the next sample waits."""
    monitor = make("llm", tokens_per_day=100)
    monitor.judge.answers = [JudgeError("no verdict", Usage(90, 10))]
    monitor.put(1)
    monitor.worker.step()
    monitor.put(2)
    monitor.worker.step()
    assert monitor.outcomes() == {"failed": 1, "queued": 1}
    labels = {"judge": "relevance", "tier": "llm", "model": "test:/relevance"}
    for direction, tokens in (("input", 90), ("output", 10)):
        assert (
            monitor.registry.get_sample_value("qualitrace_judge_tokens_total", labels | {"type": direction}) == tokens
        )


def test_the_same_content_is_paid_once(make: Callable[..., Monitor]):
    """A second trace with the same texts gets the cached verdict, at no cost and marked so; another version pays anew."""
    monitor = make("llm")
    monitor.judge.answers = [verdict(input_tokens=50)]
    monitor.put(1, answer="A.")
    monitor.worker.step()
    trace_id = monitor.put(2, answer="A.")
    monitor.worker.step()
    assert len(monitor.judge.seen) == 1
    assert sorted(score["tokens"] for score in monitor.scores()) == [0, 50]
    (cached,) = monitor.assessments(trace_id)
    assert (cached.value, cached.metadata["qualitrace.cached"]) == (0.25, "true")
    monitor.judge.version = "v2"
    monitor.put(3, answer="A.")
    monitor.worker.step()
    assert len(monitor.judge.seen) == 2


def test_a_verdict_is_not_bought_again_after_an_outage_of_mlflow(make: Callable[..., Monitor], monkeypatch):
    """MLflow was away when the model had answered: its answer is kept, and counted."""
    monitor = make("llm")
    monitor.judge.answers = [verdict(input_tokens=50)]
    monitor.put(1)

    def away(*_: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(monitor.store, "save_assessments", away)
    monitor.worker.step()
    monkeypatch.undo()
    monitor.now += 10
    monitor.worker.step()
    assert len(monitor.judge.seen) == 1
    assert monitor.outcomes() == {"scored": 1}
    assert monitor.database.connection().execute("SELECT calls, tokens FROM spend").fetchone()[:] == (1, 50)


def test_a_cascade_sends_on_what_is_unsure_and_a_known_share_of_the_rest(make: Callable[..., Monitor]):
    """All unsure verdicts and about a fifth of the others wait for the model, each with its probability; all count."""
    monitor = make()
    monitor.cascade(audit_rate=0.2)
    monitor.judge.answers = [verdict(label="unsure" if n % 4 == 0 else "pass") for n in range(200)]
    for number in range(200):
        monitor.put(number + 1, probability=0.5)
    monitor.worker.drain(deadline=monitor.now + 5)
    query = "SELECT inclusion_probability, count(*) FROM judgement WHERE judge = 'relevance/llm' GROUP BY 1"
    asked = dict(tuple(row) for row in monitor.database.connection().execute(query))
    assert asked.keys() == {0.5, 0.1}
    assert asked[0.5] == 50
    assert 15 <= asked[0.1] <= 47  # 150 times a fifth, four standard deviations either way
    totals = {(row["judge"], row["outcome"]): row["total"] for row in Ledger(monitor.database).totals()}
    assert totals["relevance", "scored"] == 200
    assert totals["relevance/llm", "queued"] + totals["relevance/llm", "sampled_out"] == 200


def test_both_tiers_of_a_cascade_keep_their_score(make: Callable[..., Monitor]):
    """The local score and the model's stand side by side, in the database and on the trace, and name their tier."""
    monitor = make()
    monitor.cascade(audit_rate=1.0)
    trace_id = monitor.put(1)
    monitor.worker.step()
    monitor.model.answers = [verdict(value=1.0, label="pass")]
    monitor.model_worker.step()
    assert {(score["tier"], score["label"]) for score in monitor.scores()} == {("local", "fail"), ("llm", "pass")}
    tiers = {item.metadata["qualitrace.tier"]: item.valid for item in monitor.assessments(trace_id)}
    assert tiers == {"local": True, "llm": True}


@pytest.mark.parametrize(
    ("answer", "label"), [(verdict(value=1.0, label="pass"), "pass"), (JudgeError("no verdict"), None)]
)
def test_a_cascades_verdict_bets_once_the_model_has_answered(make: Callable[..., Monitor], answer: Any, label: Any):
    """Until then it waits; a model that has no verdict ends that, too."""
    monitor = make()
    monitor.cascade(audit_rate=1.0)
    monitor.put(1)
    monitor.worker.step()
    query = "SELECT label, weight, probability, waits, model_label, version FROM joined_score"
    assert monitor.database.rows(query)[0][:] == ("fail", 1.0, 1.0, 1, None, "v1 m1 1")
    monitor.model.answers = [answer]
    monitor.model_worker.step()
    assert monitor.database.rows(query)[0][:] == ("fail", 1.0, 1.0, 0, label, "v1 m1 1")


def test_local_judges_need_no_budget(make: Callable[..., Monitor]):
    """A budget of nothing stops no local judge."""
    monitor = make("local", usd_per_day=0)
    monitor.put(1)
    monitor.worker.step()
    assert monitor.outcomes() == {"scored": 1}


def test_an_outage_of_mlflow_postpones_the_verdict(make: Callable[..., Monitor], monkeypatch):
    """The score is not exported before its assessment is written, and comes when MLflow is back; till then judging pauses."""
    monitor = make()
    trace_id = monitor.put(1)
    monitor.put(2)

    def away(*_: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(monitor.store, "save_assessments", away)
    monitor.worker.step()
    assert monitor.scores() == []
    assert monitor.worker.step() > 0
    monkeypatch.undo()
    monitor.now += 10
    monitor.worker.step()
    assert len(monitor.assessments(trace_id)) == 1
    assert monitor.outcomes() == {"scored": 2}


def test_a_verdict_that_mlflow_cannot_take_fails_alone(make: Callable[..., Monitor]):
    """Whatever error it is, the other verdicts of the batch are kept."""
    monitor = make()
    monitor.put(1)
    monitor.put(2)
    monitor.judge.answers = [verdict(rationale="odd \ud800")]
    monitor.worker.step()
    assert monitor.outcomes() == {"failed": 1, "scored": 1}


def test_a_deleted_trace_fails_its_judgement_only(make: Callable[..., Monitor]):
    """Somebody deleted the trace in MLflow: the judgement failed, the worker goes on."""
    monitor = make()
    trace_id = monitor.put(1)
    client = MlflowClient(monitor.store.tracking_uri)
    client.delete_traces(client.get_trace(trace_id).info.experiment_id, trace_ids=[trace_id])
    monitor.put(2)
    monitor.worker.step()
    assert monitor.outcomes() == {"failed": 1, "scored": 1}


def test_draining_judges_what_is_due(make: Callable[..., Monitor]):
    """At SIGTERM the queue is emptied as far as the time allows."""
    monitor = make()
    for number in range(1, 16):
        monitor.put(number)
    monitor.worker.drain(deadline=monitor.now + 5)
    assert monitor.outcomes() == {"scored": 15}


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "too many open files"), MemoryError()], ids=repr)
def test_a_shortage_of_this_computer_is_no_failure_of_the_judge(make: Callable[..., Monitor], error: Exception):
    """However often it is met, and whatever wraps it: the judge is asked again."""
    monitor = make()
    monitor.put(1)
    wrapped = ValueError("no verdict")
    wrapped.__cause__ = error
    monitor.judge.answers = [error, wrapped] * 5
    while monitor.judge.answers:
        monitor.worker.step()
        monitor.now += 1
    assert monitor.outcomes() == {"queued": 1}
    monitor.now += 120
    monitor.worker.step()
    assert monitor.outcomes() == {"scored": 1}


def test_an_assessment_that_gets_no_answer_holds_up_no_other(make: Callable[..., Monitor], monkeypatch):
    """A proxy does not let it through: the others are written, and it fails in the end."""
    monitor = make()
    guilty = monitor.put(1)
    save = monitor.store.save_assessments

    def blocked(items: Sequence[Feedback]) -> dict[str, Exception]:
        refused = {str(item.assessment_id): Unanswered("403") for item in items if item.trace_id == guilty}
        return refused | save([item for item in items if item.trace_id != guilty])

    monkeypatch.setattr(monitor.store, "save_assessments", blocked)
    monitor.worker.step()
    monitor.put(2)
    monitor.worker.step()
    assert monitor.outcomes() == {"queued": 1, "scored": 1}
    for _ in range(300):
        monitor.worker.step()
        monitor.now += 1
    assert monitor.outcomes() == {"failed": 1, "scored": 1}
