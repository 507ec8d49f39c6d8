"""From the queue to scores: lease, judge, write the assessment, then one transaction in the state database.

A crash between the assessment and the transaction repeats the judgement; its assessment has the same id.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mlflow.exceptions import MlflowException

from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_collector.state.ledger import JudgementOutcome
from qualitrace_collector.store import StoreUnavailable, TraceStore
from qualitrace_monitors.assess import assessment
from qualitrace_monitors.budget import Spending
from qualitrace_monitors.judges import Judge, JudgeError, NotApplicable, Score, TransientJudgeError
from qualitrace_monitors.metrics import JudgeMetrics
from qualitrace_monitors.pauses import Pauses
from qualitrace_monitors.scores import ScoreRow

_log = logging.getLogger(__name__)

LEASE_SECONDS = 180.0
IDLE_SECONDS = 0.1
EXPIRE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A task with its outcome, and its score if it has one."""

    task: JudgeTask
    outcome: JudgementOutcome
    row: ScoreRow | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A task to try again at `until` (Unix seconds)."""

    task: JudgeTask
    until: float


class JudgeWorker:
    """Judges tasks of some judges, a batch at a time; several may run at once on one database.

    Args:
        batch: tasks leased at once.
        clock: Unix seconds.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        database: Database,
        store: TraceStore,
        metrics: JudgeMetrics,
        spending: Spending,
        batch: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._judges = {judge.name: judge for judge in judges}
        self._database = database
        self._queue = JudgeQueue(database)
        self._store = store
        self._metrics = metrics
        self._spending = spending
        self._batch = batch
        self._clock = clock
        self._pauses = Pauses()

    def step(self) -> float:
        """Judge one batch; return the seconds to wait before the next."""
        now = self._clock()
        judges = [name for name in self._judges if self._pauses.end(name) <= now]
        tasks = self._queue.lease(self._batch, now, LEASE_SECONDS, judges)
        results = [self._handle(task) for task in tasks]
        if not results:
            return IDLE_SECONDS
        finished = self._commit(results)
        for done in finished:
            if done.row is not None:
                self._metrics.observe(done.row, done.task.root_ended_at, self._clock())
        return 0.0

    def drain(self, deadline: float) -> None:
        """Judge what is due, until `deadline` (Unix seconds); the rest stays in the queue."""
        while self._clock() < deadline and self.step() == 0.0:
            pass

    def _handle(self, task: JudgeTask) -> Finished | Postponed:
        judge = self._judges[task.judge]
        if (pause_end := self._pauses.end(judge.name)) > self._clock():  # it began within this batch
            return Postponed(task, pause_end)
        if (skipped := self._skipped(task, judge)) is not None:
            return Finished(task, skipped)
        started = time.perf_counter()
        try:
            score = judge.score(task.sample)
        except NotApplicable:
            return Finished(task, "not_applicable")
        except TransientJudgeError as error:
            return self._postponed(task, judge, error, [judge.name], error.retry_after)
        except Exception as error:  # a judge's bug is a failed judgement, not the end of judging
            return self._failed(task, judge, error)
        finally:
            self._metrics.observe_duration(judge.name, judge.tier, time.perf_counter() - started)
        return self._assess(task, judge, score)

    def _skipped(self, task: JudgeTask, judge: Judge) -> JudgementOutcome | None:
        """Return the outcome of a task that is too old, or that there is no money left for."""
        now = self._clock()
        if now - task.completed_at > EXPIRE_SECONDS:
            return "expired"
        return "budget_skipped" if judge.tier == "llm" and self._spending.exhausted(now) else None

    def _assess(self, task: JudgeTask, judge: Judge, score: Score) -> Finished | Postponed:
        earlier = self._earlier_assessment(task)
        feedback = assessment(task, judge, score, None)
        if earlier is not None and earlier != feedback.assessment_id:
            feedback.overrides = earlier
        try:
            self._store.save_assessment(feedback)
        except StoreUnavailable as error:
            return self._postponed(task, judge, error, self._judges)
        except Exception as error:  # one verdict that MLflow cannot take must not hold up the others
            return self._failed(task, judge, error)
        self._pauses.worked(judge.name)
        return Finished(task, "scored", self._row(task, judge, score, str(feedback.assessment_id)))

    def _earlier_assessment(self, task: JudgeTask) -> str | None:
        row = (
            self._database.connection()
            .execute("SELECT assessment_id FROM score WHERE trace_id = ? AND judge = ?", (task.trace_id, task.judge))
            .fetchone()
        )
        return None if row is None else str(row[0])

    def _row(self, task: JudgeTask, judge: Judge, score: Score, assessment_id: str) -> ScoreRow:
        metadata = task.sample.metadata
        return ScoreRow(
            trace_id=task.trace_id,
            judge=judge.name,
            version=judge.version,
            tier=judge.tier,
            service=task.service,
            model=metadata.get("model", ""),
            prompt_version=metadata.get("prompt_version", ""),
            value=score.value,
            label=score.label,
            rationale=score.rationale,
            inclusion_probability=task.inclusion_probability,
            assessment_id=assessment_id,
            tokens=score.input_tokens + score.output_tokens,
            cost_usd=score.cost_usd,
            completed_at=task.completed_at,
            scored_at=self._clock(),
        )

    def _postponed(
        self,
        task: JudgeTask,
        judge: Judge,
        error: Exception,
        paused: Iterable[str],
        asked: float | None = None,
    ) -> Postponed:
        """Try again later, and let those judges be until then that would meet the same error."""
        self._metrics.count_error(judge.name, "transient")
        now = self._clock()
        until = self._pauses.failed(paused, now, asked)
        _log.warning("judge %s: %s; trying again in %g s", judge.name, error, until - now)
        return Postponed(task, until)

    def _failed(self, task: JudgeTask, judge: Judge, error: Exception) -> Finished:
        self._metrics.count_error(judge.name, "permanent")
        broken = not isinstance(error, (JudgeError, MlflowException))
        _log.error("judge %s has no verdict on trace %s: %s", judge.name, task.trace_id, error, exc_info=broken)
        return Finished(task, "failed")

    def _commit(self, results: Sequence[Finished | Postponed]) -> list[Finished]:
        """Write a batch's results in one transaction; return those that count."""
        finished: list[Finished] = []
        with self._database.transaction() as connection:
            for result in results:
                if isinstance(result, Postponed):
                    JudgeQueue.postpone(connection, result.task, result.until)
                elif self._finish(connection, result):
                    finished.append(result)
        return finished

    @staticmethod
    def _finish(connection: sqlite3.Connection, result: Finished) -> bool:
        counts = JudgeQueue.finish(connection, result.task, result.outcome)
        if counts and result.row is not None:
            result.row.save(connection)
        return counts
