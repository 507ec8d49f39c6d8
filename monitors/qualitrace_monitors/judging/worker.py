"""From the queue to scores: lease, judge, write the assessments, then one transaction in the state database.

A crash between the assessments and the transaction repeats the judgements, at the price of their calls. The repeated
assessments have the same ids, so each judgement leaves one assessment and one score.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from mlflow.entities import Feedback
from mlflow.exceptions import MlflowException
from opentelemetry.trace import NoOpTracer, Tracer
from tenacity.wait import wait_exponential

from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore, reason
from qualitrace_collector.mlflow_store.unavailable import ResourceShortage, Unanswered, UnansweredCount, is_shortage
from qualitrace_collector.process.backoff import seconds_after
from qualitrace_collector.process.in_work import MAX_DEATHS, InWork
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask, Ledger
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.estimate.scores import assessment_ids
from qualitrace_monitors.judges.build import JudgeStage
from qualitrace_monitors.judges.cache import VerdictCache
from qualitrace_monitors.judges.contract import JudgeError, NotApplicable, Score, TransientJudgeError, Usage
from qualitrace_monitors.judging.assessments import assessment, score_row, verdict_beside
from qualitrace_monitors.judging.call_span import call_span
from qualitrace_monitors.judging.calls import Calls, Failures, Pauses
from qualitrace_monitors.judging.judgement import EXPIRE_SECONDS, LEASE_SECONDS, Judgement, write
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.judging.unpaid import UnpaidTasks

_log = logging.getLogger(__name__)

IDLE_SECONDS = 0.1
WAIT_SECONDS = 0.05
BUDGET_SECONDS = 1.0
"""How long a sample waits that the budget has no room for now."""
AWAY_SECONDS = 15.0
"""How long a provider may refuse, or not answer: it does so now and then."""
UNANSWERED_WAIT = wait_exponential(multiplier=0.5, max=30)
POISON = "the process died {deaths} times while it worked on this judgement alone"


class JudgeWorker:
    """Judges the tasks of some stages; several may run at once on one database.

    Args:
        calls: runs the judges.
        in_work: notes the keys of the tasks that are judged.
        earlier: of other threads of this process, whose suspects are tried before those of this worker.
        clock: Unix seconds.
        tracer: for the server's own spans.
    """

    def __init__(
        self,
        stages: Sequence[JudgeStage],
        database: Database,
        store: TraceStore,
        metrics: JudgeMetrics,
        spending: Spending,
        calls: Calls[Judgement],
        in_work: InWork,
        *,
        earlier: Sequence[InWork] = (),
        clock: Callable[[], float] = time.time,
        tracer: Tracer | None = None,
    ) -> None:
        self._stages = {stage.queue: stage for stage in stages}
        outcomes = Ledger(database).totals()
        for stage in stages:
            services = {row["service"] for row in outcomes if row["judge"] == stage.queue}
            metrics.start(stage.judge, services)
        self._database = database
        self._queue = JudgeQueue(database)
        self._cache = VerdictCache(database)
        self._store = store
        self._metrics = metrics
        self._spending = spending
        self._calls = calls
        self._in_work = in_work
        self._earlier = earlier
        self._clock = clock
        self._tracer = tracer or NoOpTracer()
        self._unpaid = UnpaidTasks(self._stages, database, spending)
        self._pauses = Pauses()
        self._failures = Failures()
        self._unanswered = UnansweredCount()

    def step(self) -> float:
        """Begin the calls that may begin, and write what has ended; return the seconds to wait before the next step."""
        if any(other.trying for other in self._earlier):
            return IDLE_SECONDS
        judgements = [*self._begin(self._clock()), *self._finished_calls()]
        if not judgements:
            return 0.0 if self._calls.in_flight else IDLE_SECONDS
        self._assess(judgements)
        for judgement in write(self._database, judgements, self._clock()):
            if judgement.row is not None:
                ended_at = judgement.task.root_ended_at
                self._metrics.observe(judgement.row, ended_at, self._clock(), first=judgement.first)
        self._in_work.end(each.task.key for each in judgements if each.outcome is not None)
        if postponed := [each.task.key for each in judgements if each.outcome is None]:
            self._in_work.end(postponed, done=False)
        return 0.0

    @property
    def queues(self) -> Sequence[str]:
        """The queues of its judges."""
        return [*self._stages]

    def problem(self, queue: str) -> str:
        """Say that the judge of a queue fails always, or that its provider is away; empty if neither is so."""
        if text := self._failures.problem(queue):
            return text
        # A provider that asks for a pause of an hour gets few calls that could fail.
        return f"no verdict for {failing:.0f} s: see the log" if (failing := self.failing(queue)) > AWAY_SECONDS else ""

    def failing(self, queue: str) -> float:
        """Return for how many seconds the provider of the judge of a queue has given no verdict; 0 if it gives some."""
        return self._pauses.failing(queue, self._clock())

    def drain(self, deadline: float) -> None:
        """Judge what is due, until `deadline` (Unix seconds); the rest stays in the queue."""
        while self._clock() < deadline and self.step() == 0.0:
            pass

    def _begin(self, now: float) -> list[Judgement]:
        """Lease tasks and begin their calls; return the judgements that need no call."""
        room = self._calls.room()
        rooms = {queue: self._pauses.room(queue, now) for queue in self._stages}
        ready = {queue for queue, calls in rooms.items() if calls != 0}
        out_of_budget = self._unpaid.queues(ready, now)
        done = self._unpaid.take(sorted(out_of_budget), room, now)
        to_ask: list[Judgement] = []
        affordable = ready - out_of_budget
        probes = sorted(queue for queue in affordable if rooms[queue] is not None)
        for task in self._lease(room, now, sorted(affordable), probes):
            judgement = Judgement(task, self._stages[task.judge])
            if now - task.completed_at > EXPIRE_SECONDS:
                judgement.outcome = "expired"
            elif (deaths := self._in_work.deaths(task.key)) >= MAX_DEATHS:
                self._fail(judgement, JudgeError(POISON.format(deaths=deaths)))
            elif judgement.judge.tier != "local":
                judgement.score = self._cache.find(judgement.judge, task.content_hash, now)
            (done if judgement.outcome or judgement.score else to_ask).append(judgement)
        return [*done, *self._ask_affordable(to_ask, now)]

    def _lease(self, room: int, now: float, queues: list[str], probes: list[str]) -> list[JudgeTask]:
        """Take tasks, and note that they are in work; those that a process died with come first, and alone.

        Args:
            room: how many, at most.
            queues: those that they may be of.
            probes: those of which only one task may be taken.
        """
        if not self._in_work.trying:
            tasks = self._queue.lease(room, now, LEASE_SECONDS, sorted({*queues} - {*probes}))
            for queue in probes:
                tasks += self._queue.lease(min(1, room - len(tasks)), now, LEASE_SECONDS, [queue])
            if tasks:
                self._in_work.begin(task.key for task in tasks)
            return tasks
        if self._calls.in_flight:
            return []
        keys = self._in_work.try_suspects()
        tasks = self._queue.lease(len(keys), now, LEASE_SECONDS, queues, only=keys)
        self._in_work.end(set(keys) - {task.key for task in tasks}, done=False)  # or not due now
        return tasks

    def _ask_affordable(self, judgements: Sequence[Judgement], now: float) -> list[Judgement]:
        """Begin the calls that the budgets allow; return the other judgements, postponed."""
        postponed: list[Judgement] = []
        for queue, stage in self._stages.items():
            mine = [judgement for judgement in judgements if judgement.task.judge == queue]
            granted = [judgement.task.trace_id for judgement in mine]
            if stage.judge.tier != "local":
                granted = self._spending.reserve(stage.judge.name, granted, now, LEASE_SECONDS)
            for judgement in mine:
                if judgement.task.trace_id in granted:
                    self._pauses.began(queue, judgement.task.trace_id)
                    self._calls.begin(partial(self._ask, judgement))
                else:
                    judgement.retry_at = now + BUDGET_SECONDS
                    postponed.append(judgement)
        return postponed

    def _ask(self, judgement: Judgement) -> Judgement:
        """Ask the judge; runs in a thread of its own where calls are concurrent."""
        if (pause_end := self._pauses.end(judgement.stage.queue)) > self._clock():  # it began after the lease
            judgement.retry_at = pause_end
            return judgement
        with call_span(self._tracer, judgement):
            self._call(judgement)
        return judgement

    def _call(self, judgement: Judgement) -> None:
        judge, queue = judgement.judge, judgement.stage.queue
        judgement.began = time.perf_counter()
        try:
            judgement.score = judge.score(judgement.task.sample)
            judgement.usage = judgement.score.usage
            self._failures.answered(queue)
        except NotApplicable:
            judgement.outcome = "not_applicable"
        except TransientJudgeError as error:
            judgement.refused = True
            self._failures.failed(queue)
            until = self._pauses.failed([queue], self._clock(), error.retry_after, by_provider=True)
            self._postpone(judgement, error, until)
        except Exception as error:  # a judge's bug is a failed judgement, not the end of judging
            if is_shortage(error):
                until = self._pauses.failed([queue], self._clock())
                self._postpone(judgement, ResourceShortage(reason(error)), until)
                return
            judgement.usage = error.usage if isinstance(error, JudgeError) else Usage()
            self._failures.failed(queue)
            self._pauses.succeeded(queue, self._clock())  # the provider is there
            self._fail(judgement, error)
        judgement.seconds = time.perf_counter() - judgement.began
        self._metrics.observe_call(judge, judgement.seconds, judgement.usage or Usage())

    def _finished_calls(self) -> list[Judgement]:
        """Return what was asked and has ended; `calls` learns from it how many calls the provider bears."""
        finished = self._calls.finished(WAIT_SECONDS)
        for judgement in finished:
            self._pauses.ended(judgement.stage.queue, judgement.task.trace_id)
            if judgement.refused:
                self._calls.congested(judgement.began)
            elif judgement.score is not None:
                self._calls.answered(judgement.seconds)
        return finished

    def _assess(self, judgements: Sequence[Judgement]) -> None:
        """Write the assessments of new scores to MLflow and set the outcomes, or postpone all if MLflow is away."""
        new = [(each, each.score) for each in judgements if each.score and not each.outcome and each.retry_at is None]
        outdated = self._queue.outdated([judgement.task for judgement, _ in new])
        earlier = assessment_ids(self._database, [judgement.task.trace_id for judgement, _ in new])
        current: list[tuple[Judgement, Score]] = []
        feedbacks: list[Feedback] = []
        for judgement, score in new:
            task, judge = judgement.task, judgement.judge
            if (task.trace_id, task.judge) in outdated:
                # The trace changed and waits again, so the queue will refuse this outcome: only the cost is booked.
                judgement.outcome = "scored"
            else:
                current.append((judgement, score))
                feedbacks.append(assessment(task, judge, score, earlier.get((task.trace_id, judge.name, judge.tier))))
        try:
            shown = [item for score in feedbacks for item in (score, verdict_beside(score))]
            refused = self._store.save_assessments(shown) if shown else {}
        except StoreUnavailable as error:
            self._unanswered.start_over()
            for judgement, _ in current:
                self._postpone(judgement, error, self._pauses.failed(self._stages, self._clock()))
            return
        rows = [score_row(judgement.task, judgement.stage, score, self._clock()) for judgement, score in current]
        self._unanswered.passed({row.assessment_id for row in rows} - refused.keys())
        for (judgement, _), row in zip(current, rows, strict=True):
            if row.assessment_id in refused:
                self._refuse(judgement, row.assessment_id, refused[row.assessment_id])
            else:
                judgement.outcome, judgement.row = "scored", row
                if judgement.usage is not None or judgement.judge.tier == "local":  # a kept verdict says nothing
                    self._pauses.succeeded(judgement.stage.queue, self._clock())

    def _refuse(self, judgement: Judgement, assessment_id: str, error: Exception) -> None:
        """Let a judgement whose assessment was not stored fail, or wait where only its request got no answer."""
        if not isinstance(error, StoreUnavailable):
            self._fail(judgement, error)
        elif isinstance(error, Unanswered) and self._unanswered.failed(assessment_id):
            self._fail(judgement, JudgeError(f"MLflow does not get to see the assessment: {reason(error)}"))
        else:
            self._metrics.count_error(judgement.judge.name, "transient")
            judgement.retry_at = self._clock() + seconds_after(judgement.task.attempts, UNANSWERED_WAIT)

    def _postpone(self, judgement: Judgement, error: Exception, until: float) -> None:
        """Try again at the end of the pause, `until` (Unix seconds).

        The retry is the queue's, which is durable: no worker sleeps because a provider is busy.
        """
        name = judgement.judge.name
        self._metrics.count_error(name, "transient")
        judgement.retry_at = until
        _log.warning("judge %s: %s; trying again in %g s", name, error, until - self._clock())

    def _fail(self, judgement: Judgement, error: Exception) -> None:
        name, trace_id = judgement.judge.name, judgement.task.trace_id
        self._metrics.count_error(name, "permanent")
        judgement.outcome = "failed"
        is_bug = not isinstance(error, (JudgeError, MlflowException))
        _log.error("judge %s has no verdict on trace %s: %s", name, trace_id, error, exc_info=is_bug and error)
