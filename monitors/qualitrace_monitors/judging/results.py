"""What comes of the tasks of judges, and how it is written: all of a batch in one transaction of the state database."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qualitrace_collector.state import Database, JudgeQueue, JudgeTask, Ledger
from qualitrace_collector.state.ledger import JudgementOutcome
from qualitrace_monitors.budget.spending import AlwaysPicks, Spending
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges import JudgeStage, Score, Usage
from qualitrace_monitors.judges.cache import VerdictCache
from qualitrace_monitors.judges.cascade import Escalation


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score that is not on its trace yet; `paid`: the judge was asked for it, and not the cache."""

    task: JudgeTask
    score: Score
    paid: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A task with its outcome; its verdict and score, or what a call without a verdict cost."""

    task: JudgeTask
    outcome: JudgementOutcome
    usage: Usage | None = None
    verdict: Verdict | None = None
    row: ScoreRow | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A task to try again at `until` (Unix seconds).

    Attributes:
        refused: the provider did not answer.
        verdict: what the judge said, if only MLflow did not take it.
    """

    task: JudgeTask
    until: float
    refused: bool = False
    verdict: Verdict | None = None


Result = Verdict | Finished | Postponed


class ResultWriter:
    """Writes results: outcome, score, spend, cache, and what the cascade sends on; `now` is in Unix seconds."""

    def __init__(self, stages: Mapping[str, JudgeStage], database: Database) -> None:
        self._stages = stages
        self._database = database

    def write(self, results: Sequence[Finished | Postponed], now: float) -> list[Finished]:
        """Write a batch's results in one transaction; return those that count."""
        finished: list[Finished] = []
        with self._database.transaction() as connection:
            for result in results:
                self._book(connection, result, now)
                if isinstance(result, Postponed):
                    JudgeQueue.postpone(connection, result.task, result.until)
                elif JudgeQueue.finish(connection, result.task, result.outcome):
                    self._conclude(connection, result.task, result.row, now)
                    finished.append(result)
        return finished

    def _book(self, connection: sqlite3.Connection, result: Finished | Postponed, now: float) -> None:
        """Book what was paid, and keep what was paid for: after an outage of MLflow it is not bought again."""
        judge, task, verdict = self._stages[result.task.judge].judge, result.task, result.verdict
        if judge.tier == "local":
            return
        usage = result.usage if isinstance(result, Finished) else None
        if verdict is not None and verdict.paid:
            usage = verdict.score.usage
            VerdictCache.save(connection, judge, task.content_hash, verdict.score, now)
        Spending.book(connection, judge.name, task.trace_id, usage, now)
        if usage is not None or isinstance(result, Finished):
            AlwaysPicks.book(connection, judge.name, task.trace_id, usage or Usage(), now)

    def _conclude(self, connection: sqlite3.Connection, task: JudgeTask, row: ScoreRow | None, now: float) -> None:
        """Save the score, if there is one, in place of those of earlier content, and send it on."""
        stage = self._stages[task.judge]
        if stage.then is not None and not self._escalate(connection, task, row, stage.then):
            AlwaysPicks.book(connection, stage.judge.name, task.trace_id, Usage(), now)
        if stage.queue == stage.judge.name:  # the second stage judges what the first one has just judged
            ScoreRow.set_aside(connection, task.trace_id, stage.judge.name)
        if row is not None:
            row.save(connection)

    @staticmethod
    def _escalate(connection: sqlite3.Connection, task: JudgeTask, row: ScoreRow | None, then: Escalation) -> bool:
        """Send a score, not yet saved, on where the cascade wants it; a trace that is judged again counts once.

        A trace that the model was asked about, it is asked about again when the content is another. Returns whether
        the model is to be asked.
        """
        probability = 0.0 if row is None else then.probability(unsure=row.label == "unsure")
        held = JudgeQueue.holds(connection, task.trace_id, then.queue)
        left_out = not held and row is not None and row.replaces_another(connection)
        asked = held or then.picks(task.trace_id, probability)
        if asked:
            JudgeQueue.put(connection, task.for_queue(then.queue, probability))
            if left_out:
                Ledger.add(connection, task.service, "sampled_out", then.queue, -1)
        elif row is not None and not left_out:
            Ledger.add(connection, task.service, "sampled_out", then.queue)
        return asked
