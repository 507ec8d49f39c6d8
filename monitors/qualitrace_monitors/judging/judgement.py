"""A judgement: what becomes of a task, and how a batch of them is written in one transaction of the state database."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from qualitrace_collector.state import Database, JudgeQueue, JudgeTask, Ledger
from qualitrace_collector.state.ledger import JudgementOutcome
from qualitrace_monitors.alerts import joined_scores, new_scores
from qualitrace_monitors.answers import texts
from qualitrace_monitors.budget.spending import AlwaysPicks, Spending
from qualitrace_monitors.estimate.scores import ScoreRow
from qualitrace_monitors.judges.build import Escalation, JudgeStage
from qualitrace_monitors.judges.cache import VerdictCache
from qualitrace_monitors.judges.contract import Judge, Score, Usage

LEASE_SECONDS = 180.0
"""How long a lease keeps a task out of the queue."""
EXPIRE_SECONDS = 86_400.0
"""A sample that is older is judged no more; one that no budget pays for is skipped after as long a wait."""


@dataclass(slots=True)
class Judgement:
    """A task at its judge, filled in step by step; in the end it has either an outcome or a time to try again.

    Attributes:
        score: what the judge said, now or earlier about the same content.
        usage: what asking the judge cost; None if nothing was spent.
        outcome: how the judgement ended; with a score it is `scored` once the assessment is in MLflow.
        retry_at: when to try again, Unix seconds.
        refused: whether the provider did not answer.
        row: the score to keep, once its assessment is in MLflow.
        first: whether that is the trace's first score by the judge and tier; known once it is written.
        began, seconds: when the judge was asked, and how long it took, by a steady clock.
    """

    task: JudgeTask
    stage: JudgeStage
    score: Score | None = None
    usage: Usage | None = None
    outcome: JudgementOutcome | None = None
    retry_at: float | None = None
    refused: bool = False
    row: ScoreRow | None = None
    first: bool = False
    began: float = 0.0
    seconds: float = 0.0

    @property
    def judge(self) -> Judge:
        """The judge to ask."""
        return self.stage.judge


def write(database: Database, judgements: Sequence[Judgement], now: float) -> list[Judgement]:
    """Write outcomes, scores, costs and what the cascade queues for the model, in one transaction.

    Args:
        now: Unix seconds.

    Returns:
        The judgements that ended and count: none whose trace changed while the judge was asked.
    """
    ended: list[Judgement] = []
    with database.transaction() as connection:
        for judgement in judgements:
            _book_cost(connection, judgement, now)
            if judgement.retry_at is not None:
                JudgeQueue.postpone(connection, judgement.task, judgement.retry_at)
            elif judgement.outcome is not None and JudgeQueue.finish(connection, judgement.task, judgement.outcome):
                _save_score(connection, judgement, now)
                ended.append(judgement)
    return ended


def _book_cost(connection: sqlite3.Connection, judgement: Judgement, now: float) -> None:
    judge, task, usage = judgement.judge, judgement.task, judgement.usage
    if judge.tier == "local":
        return
    if judgement.score is not None and usage is not None:
        # Also of a postponed judgement: after an outage of MLflow the verdict is not bought again.
        VerdictCache.save(connection, judge, task.content_hash, judgement.score, now)
    elif judgement.score is not None and judgement.outcome is not None:
        Spending.book_cached(connection, judge.name, now)
    Spending.book(connection, judge.name, task.trace_id, usage, now)
    if usage is not None or judgement.outcome is not None:
        AlwaysPicks.book(connection, judge.name, task.trace_id, usage or Usage(), now)


def _save_score(connection: sqlite3.Connection, judgement: Judgement, now: float) -> None:
    stage, task, row = judgement.stage, judgement.task, judgement.row
    if stage.then is not None and not _escalate(connection, task, row, stage.then):
        AlwaysPicks.book(connection, stage.judge.name, task.trace_id, Usage(), now)  # no call of the model will come
    # Estimates rest on what traces hold now: an outcome of the first stage, be it a score or none, sets the scores of
    # earlier content aside, those of all tiers. The second stage judges what the first one has just judged.
    if stage.queue == stage.judge.name:
        ScoreRow.set_aside(connection, task.trace_id, stage.judge.name)
    if row is not None:
        judgement.first = not row.replaces_another(connection)
        if judgement.first:  # it keeps its bet
            new_scores.put(connection, row, stage.then)
        row.save(connection)
        passed = row.label == "pass"
        texts.keep(connection, task.trace_id, task.sample, task.completed_at, passed=passed)
    if stage.queue != stage.judge.name:
        joined_scores.answer(connection, task.trace_id, stage.judge.name, row, now)


def _escalate(connection: sqlite3.Connection, task: JudgeTask, row: ScoreRow | None, then: Escalation) -> bool:
    """Queue the trace for the model if the cascade picks it; return whether it does. `row` is not saved yet.

    A trace that is not picked counts as `sampled_out` for the model, once, however often it is judged.
    """
    probability = 0.0 if row is None else then.probability(unsure=row.label == "unsure")
    # A model that was asked about earlier content is asked about the new content too, whatever the local judge says.
    asked_before = JudgeQueue.holds(connection, task.trace_id, then.queue)
    counted_before = not asked_before and row is not None and row.replaces_another(connection)
    picked = asked_before or then.picks(task.trace_id, probability)
    if picked:
        JudgeQueue.put(connection, task.for_queue(then.queue, probability, then.weight(probability)))
        if counted_before:
            Ledger.add(connection, task.service, "sampled_out", then.queue, -1)
    elif row is not None and not counted_before:
        Ledger.add(connection, task.service, "sampled_out", then.queue)
    return picked
