"""Tasks whose judge has no budget left: they wait, but for those that need none, and those that waited for too long."""

from collections.abc import Iterable, Mapping, Sequence

from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_collector.state.queue import Place
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.judges.build import JudgeStage
from qualitrace_monitors.judges.cache import VerdictCache
from qualitrace_monitors.judging.judgement import EXPIRE_SECONDS, LEASE_SECONDS, Judgement

LOOK_AT = 100
"""Waiting tasks that are looked at in one step, in a few milliseconds: a thousand in a second."""


class UnpaidTasks:
    """Takes what needs no budget from the queues of judges that have none; not thread-safe.

    Args:
        stages: by queue.
    """

    def __init__(self, stages: Mapping[str, JudgeStage], database: Database, spending: Spending) -> None:
        self._stages = stages
        self._queue = JudgeQueue(database)
        self._cache = VerdictCache(database)
        self._spending = spending
        self._looked_at: Place | None = None  # the last one, so that the next step goes on after it

    def queues(self, queues: Iterable[str], now: float) -> set[str]:
        """Return those of the queues whose judge has no budget left."""
        names = {queue: self._stages[queue].judge.name for queue in queues if self._stages[queue].judge.tier != "local"}
        exhausted = self._spending.exhausted(names.values(), now)
        return {queue for queue, name in names.items() if name in exhausted}

    def take(self, queues: list[str], room: int, now: float) -> list[Judgement]:
        """Lease up to `room` tasks, and return them with a verdict that was paid for before, or as skipped."""
        if not queues or room <= 0:
            return []
        # Only tasks that have been due for a day are given up: they have waited long enough.
        overdue = self._queue.lease(room, now - EXPIRE_SECONDS, EXPIRE_SECONDS + LEASE_SECONDS, queues)
        judgements = [self._without_call(task, now, skip=True) for task in overdue]
        if paid := self._paid(queues, now):
            tasks = self._queue.lease(room - len(overdue), now, LEASE_SECONDS, queues, only=paid)
            judgements += [self._without_call(task, now, skip=False) for task in tasks]
        return judgements

    def _paid(self, queues: Sequence[str], now: float) -> list[str]:
        """Return the keys of tasks whose content has a verdict, among some that wait; each time of the next ones."""
        waiting = self._queue.waiting_behind(self._looked_at, now, queues, LOOK_AT)
        self._looked_at = waiting[-1].place if len(waiting) == LOOK_AT else None
        sought = [(self._stages[each.place.judge].judge, each.content_hash) for each in waiting]
        known = self._cache.known(sought, now)
        return [each.place.key for each, is_known in zip(waiting, known, strict=True) if is_known]

    def _without_call(self, task: JudgeTask, now: float, *, skip: bool) -> Judgement:
        """Give a task the verdict that was paid for; without one it is skipped, or waits on."""
        judgement = Judgement(task, self._stages[task.judge])
        judgement.score = self._cache.find(judgement.judge, task.content_hash, now)
        if judgement.score is None and skip:
            judgement.outcome = "budget_skipped"
        elif judgement.score is None:
            judgement.retry_at = now
        return judgement
