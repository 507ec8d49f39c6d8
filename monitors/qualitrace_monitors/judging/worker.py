"""From the queue to scores: lease, judge, write the assessments, then one transaction in the state database.

A crash between the assessments and the transaction repeats the judgements; their assessments have the same ids.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from mlflow.exceptions import MlflowException

from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.judges import JudgeError, NotApplicable, TransientJudgeError, Usage
from qualitrace_monitors.judges.cache import VerdictCache
from qualitrace_monitors.judges.cascade import JudgeStage
from qualitrace_monitors.judging.assessments import assessment, score_row
from qualitrace_monitors.judging.calls import Calls, Done
from qualitrace_monitors.judging.pauses import Pauses
from qualitrace_monitors.judging.results import Finished, Postponed, Result, ResultWriter, Verdict
from qualitrace_monitors.metrics import JudgeMetrics

_log = logging.getLogger(__name__)

LEASE_SECONDS = 180.0
IDLE_SECONDS = 0.1
WAIT_SECONDS = 0.05
EXPIRE_SECONDS = 86_400.0
BUDGET_SECONDS = 1.0
"""How long a sample waits that the budget has no room for now."""


class JudgeWorker:
    """Judges the tasks of some stages; several may run at once on one database.

    Args:
        calls: runs the judges.
        clock: Unix seconds.
    """

    def __init__(
        self,
        stages: Sequence[JudgeStage],
        database: Database,
        store: TraceStore,
        metrics: JudgeMetrics,
        spending: Spending,
        calls: Calls[Result],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stages = {stage.queue: stage for stage in stages}
        self._database = database
        self._queue = JudgeQueue(database)
        self._cache = VerdictCache(database)
        self._store = store
        self._metrics = metrics
        self._spending = spending
        self._calls = calls
        self._clock = clock
        self._pauses = Pauses()
        self._writer = ResultWriter(self._stages, database)

    def step(self) -> float:
        """Begin what may begin, and conclude what has ended; return the seconds to wait before the next step."""
        results = self._begin(self._clock())
        results += [self._ended(done) for done in self._calls.finished(WAIT_SECONDS)]
        if not results:
            return 0.0 if self._calls.in_flight else IDLE_SECONDS
        for done in self._writer.write(self._assess(results), self._clock()):
            if done.row is not None:
                self._metrics.observe(done.row, done.task.root_ended_at, self._clock())
        return 0.0

    def drain(self, deadline: float) -> None:
        """Judge what is due, until `deadline` (Unix seconds); the rest stays in the queue."""
        while self._clock() < deadline and self.step() == 0.0:
            pass

    def _begin(self, now: float) -> list[Result]:
        """Lease tasks and begin their calls; return the results of those that need none."""
        room = self._calls.room()
        ready = {queue for queue in self._stages if self._pauses.end(queue) <= now}
        broke = self._without_budget(ready, now)
        results: list[Result] = []
        if broke:  # only what is due for a day: its time is up
            overdue = self._queue.lease(room, now - EXPIRE_SECONDS, EXPIRE_SECONDS + LEASE_SECONDS, sorted(broke))
            results += [Finished(task, "budget_skipped") for task in overdue]
        to_ask: list[JudgeTask] = []
        for task in self._queue.lease(room, now, LEASE_SECONDS, sorted(ready - broke)):
            known = self._known(task, now)
            results += [known] if known is not None else []
            to_ask += [task] if known is None else []
        results += self._ask_affordable(to_ask, now)
        return results

    def _without_budget(self, queues: Iterable[str], now: float) -> set[str]:
        paid = {queue: self._stages[queue].judge for queue in queues if self._stages[queue].judge.tier != "local"}
        broke = self._spending.exhausted({judge.name for judge in paid.values()}, now)
        return {queue for queue, judge in paid.items() if judge.name in broke}

    def _known(self, task: JudgeTask, now: float) -> Result | None:
        """Return the result of a task that no judge need be asked about."""
        if now - task.completed_at > EXPIRE_SECONDS:
            return Finished(task, "expired")
        judge = self._stages[task.judge].judge
        earlier = None if judge.tier == "local" else self._cache.find(judge, task.content_hash, now)
        return None if earlier is None else Verdict(task, earlier, paid=False)

    def _ask_affordable(self, tasks: Sequence[JudgeTask], now: float) -> list[Result]:
        """Begin the calls that the budgets allow; return the other tasks, to be tried again."""
        postponed: list[Result] = []
        for queue in {task.judge: None for task in tasks}:
            mine = [task for task in tasks if task.judge == queue]
            judge = self._stages[queue].judge
            granted = {task.trace_id for task in mine}
            if judge.tier != "local":
                granted = self._spending.reserve(judge.name, [task.trace_id for task in mine], now, LEASE_SECONDS)
            for task in mine:
                if task.trace_id in granted:
                    self._calls.begin(partial(self._ask, task))
                else:
                    postponed.append(Postponed(task, now + BUDGET_SECONDS))
        return postponed

    def _ask(self, task: JudgeTask) -> Result:
        """Ask the judge; runs in a thread of its own where calls are concurrent."""
        stage = self._stages[task.judge]
        judge = stage.judge
        if (pause_end := self._pauses.end(stage.queue)) > self._clock():  # it began after the lease
            return Postponed(task, pause_end)
        started = time.perf_counter()
        try:
            return Verdict(task, judge.score(task.sample), paid=True)
        except NotApplicable:
            return Finished(task, "not_applicable")
        except TransientJudgeError as error:
            return self._postponed(task, error, [stage.queue], error.retry_after)
        except Exception as error:  # a judge's bug is a failed judgement, not the end of judging
            return self._failed(task, error, error.usage if isinstance(error, JudgeError) else Usage())
        finally:
            self._metrics.observe_duration(judge.name, judge.tier, time.perf_counter() - started)

    def _ended(self, done: Done[Result]) -> Result:
        """Tell the calls how the provider bore this one."""
        result = done.result
        if isinstance(result, Postponed) and result.refused:
            self._calls.congested(done.began)
        elif isinstance(result, Verdict):
            self._calls.answered(done.seconds)
        return result

    def _assess(self, results: Sequence[Result]) -> list[Finished | Postponed]:
        """Write the assessments of the verdicts to MLflow, but none on content that changed meanwhile."""
        outdated = self._queue.outdated([result.task for result in results if isinstance(result, Verdict)])
        results = [
            Finished(result.task, "scored", verdict=result)  # to book what it cost: it counts for nothing else
            if isinstance(result, Verdict) and (result.task.trace_id, result.task.judge) in outdated
            else result
            for result in results
        ]
        verdicts = [result for result in results if isinstance(result, Verdict)]
        earlier = self._earlier_assessments(verdicts)
        feedbacks = {
            (verdict.task.judge, verdict.task.trace_id): assessment(
                verdict.task,
                self._stages[verdict.task.judge].judge,
                verdict.score,
                earlier.get((verdict.task.trace_id, verdict.task.judge)),
            )
            for verdict in verdicts
        }
        try:
            refused = self._store.save_assessments(list(feedbacks.values())) if feedbacks else {}
        except StoreUnavailable as error:
            until = [self._postponed(verdict.task, error, self._stages).until for verdict in verdicts]
            kept = [Postponed(verdict.task, end, verdict=verdict) for verdict, end in zip(verdicts, until, strict=True)]
            return [*kept, *(result for result in results if not isinstance(result, Verdict))]
        return [
            self._assessed(result, str(feedbacks[result.task.judge, result.task.trace_id].assessment_id), refused)
            if isinstance(result, Verdict)
            else result
            for result in results
        ]

    def _assessed(self, verdict: Verdict, assessment_id: str, refused: dict[str, Exception]) -> Finished:
        if assessment_id in refused:
            return replace(self._failed(verdict.task, refused[assessment_id], None), verdict=verdict)
        self._pauses.worked(verdict.task.judge)
        judge = self._stages[verdict.task.judge].judge
        row = score_row(verdict.task, judge, verdict.score, assessment_id, self._clock())
        return Finished(verdict.task, "scored", verdict=verdict, row=row)

    def _earlier_assessments(self, verdicts: Sequence[Verdict]) -> dict[tuple[str, str], str]:
        """Return the assessments that the verdicts take the place of, by trace id and queue."""
        query = (
            "SELECT trace_id, judge, tier, assessment_id FROM score WHERE trace_id IN (SELECT value FROM json_each(?))"
        )
        traces = json.dumps(sorted({verdict.task.trace_id for verdict in verdicts}))
        rows = self._database.connection().execute(query, (traces,)).fetchall()
        known = {(row["trace_id"], row["judge"], row["tier"]): str(row["assessment_id"]) for row in rows}
        found: dict[tuple[str, str], str] = {}
        for verdict in verdicts:
            task, judge = verdict.task, self._stages[verdict.task.judge].judge
            if assessment_id := known.get((task.trace_id, judge.name, judge.tier)):
                found[task.trace_id, task.judge] = assessment_id
        return found

    def _postponed(
        self, task: JudgeTask, error: Exception, paused: Iterable[str], asked: float | None = None
    ) -> Postponed:
        """Try again later, and let those queues be until then that would meet the same error."""
        name = self._stages[task.judge].judge.name
        self._metrics.count_error(name, "transient")
        now = self._clock()
        until = self._pauses.failed(paused, now, asked)
        _log.warning("judge %s: %s; trying again in %g s", name, error, until - now)
        return Postponed(task, until, refused=True)

    def _failed(self, task: JudgeTask, error: Exception, usage: Usage | None) -> Finished:
        name = self._stages[task.judge].judge.name
        self._metrics.count_error(name, "permanent")
        broken = not isinstance(error, (JudgeError, MlflowException))
        _log.error("judge %s has no verdict on trace %s: %s", name, task.trace_id, error, exc_info=broken and error)
        return Finished(task, "failed", usage)
