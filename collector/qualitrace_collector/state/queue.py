"""The durable queue of samples: one row for each (trace, judge), leased to a worker, and kept as proof when done."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from qualitrace_collector.sample import Sample
from qualitrace_collector.state.database import Database
from qualitrace_collector.state.ledger import JudgementOutcome, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeTask:
    """One sample for one judge.

    Attributes:
        trace_id: MLflow's trace id (`tr-…`).
        inclusion_probability: that this trace was picked for this judge; 0 means picked after the fact.
        weight: relative to the traces that were picked by the rate alone, which weigh 1: the least probability with
            which the judge picks any of the service, divided by that of this one. 0 means picked after the fact.
        rate: the share of such traces that the configuration wants judged; a budget may have lowered it.
        root_ended_at: end of the root span by the application's clock, Unix seconds.
        completed_at: when the collector completed the trace, by its own clock, Unix seconds.
        attempts: leases so far, this one included.
        content_hash: the sample's; computed once.
    """

    trace_id: str
    judge: str
    service: str
    sample: Sample
    inclusion_probability: float
    root_ended_at: float
    completed_at: float
    attempts: int = 0
    content_hash: str = ""
    weight: float = 1.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.content_hash:
            object.__setattr__(self, "content_hash", self.sample.content_hash)

    @property
    def key(self) -> str:
        """The task's name among all tasks."""
        return f"{self.trace_id} {self.judge}"

    def for_queue(self, judge: str, probability: float, weight: float) -> "JudgeTask":
        """Return the same sample for another judge, which gets it with this probability once this one has.

        Args:
            weight: relative to the samples that it gets with the least probability.
        """
        chance = self.inclusion_probability * probability
        return replace(self, judge=judge, inclusion_probability=chance, weight=self.weight * weight, attempts=0)


class Place(NamedTuple):
    """Where a task stands in the queue: when it is due, in Unix seconds, and its key."""

    due_at: float
    trace_id: str
    judge: str

    @property
    def key(self) -> str:
        """The task's name among all tasks."""
        return f"{self.trace_id} {self.judge}"


class Waiting(NamedTuple):
    """A task that waits, without its sample."""

    place: Place
    content_hash: str


class JudgeQueue:
    """Samples that wait for their judge."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def statuses(self, trace_id: str) -> dict[str, str]:
        """Return what became of a trace at each judge that it was picked for: `queued`, or its outcome."""
        rows = self._database.rows("SELECT judge, status FROM judgement WHERE trace_id = ?", (trace_id,))
        return {row["judge"]: row["status"] for row in rows}

    @staticmethod
    def put(connection: sqlite3.Connection, task: JudgeTask) -> None:
        """Enqueue a (trace, judge) once, and again when its sample changed, in the caller's transaction."""
        content_hash, probability = task.content_hash, task.inclusion_probability
        row = connection.execute(
            "SELECT * FROM judgement WHERE trace_id = ? AND judge = ?",
            (task.trace_id, task.judge),
        ).fetchone()
        if row is not None and row["content_hash"] == content_hash and row["status"] != "not_matched":
            return
        # A trace that was picked is judged again whatever becomes of it, so the greatest of its probabilities holds.
        sampled = probability, task.weight, task.rate
        if row is not None and row["inclusion_probability"] >= probability:
            sampled = row["inclusion_probability"], row["weight"], row["rate"]
        connection.execute(
            "INSERT OR REPLACE INTO judgement "
            "(trace_id, judge, service, status, sample, content_hash, root_ended_at, completed_at, due_at, attempts, "
            "inclusion_probability, weight, rate) VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, ?, 0, ?, ?, ?)",
            (
                task.trace_id,
                task.judge,
                task.service,
                task.sample.to_json(),
                content_hash,
                task.root_ended_at,
                task.completed_at,
                task.completed_at,
                *sampled,
            ),
        )
        if row is not None:
            Ledger.add(connection, task.service, row["status"], task.judge, -1)
        Ledger.add(connection, task.service, "queued", task.judge)

    @staticmethod
    def withdraw(connection: sqlite3.Connection, trace_id: str, judge: str) -> bool:
        """Let a trace that waits for the judge, or for a later stage of it, wait no more: it is not matched.

        Returns:
            Whether it waited.
        """
        # A later stage is called after the judge, see `JudgeTask.for_queue`.
        rows = connection.execute(
            "UPDATE judgement SET status = 'not_matched', sample = '' WHERE trace_id = :trace AND status = 'queued' "
            "AND (judge = :judge OR instr(judge, :judge || '/') = 1) RETURNING judge, service",
            {"trace": trace_id, "judge": judge},
        ).fetchall()
        for row in rows:
            Ledger.add(connection, row["service"], "queued", row["judge"], -1)
            Ledger.add(connection, row["service"], "not_matched", row["judge"])
        return bool(rows)

    def lease(
        self, limit: int, now: float, lease_seconds: float, judges: list[str], only: Iterable[str] | None = None
    ) -> list[JudgeTask]:
        """Take up to `limit` due tasks of these judges; each is due again after `lease_seconds`.

        Args:
            only: the keys of the tasks that may be taken; None for all.
        """
        if not judges:
            return []
        marks = ",".join("?" * len(judges))
        keys = "" if only is None else "AND trace_id || ' ' || judge IN (SELECT value FROM json_each(?)) "
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT * FROM judgement WHERE status = 'queued' AND due_at <= ? AND judge IN ({marks}) {keys}"
                "ORDER BY due_at LIMIT ?",
                (now, *judges, *([] if only is None else [json.dumps([*only])]), limit),
            ).fetchall()
            connection.executemany(
                "UPDATE judgement SET due_at = ?, attempts = attempts + 1 WHERE trace_id = ? AND judge = ?",
                [(now + lease_seconds, row["trace_id"], row["judge"]) for row in rows],
            )
        return [_task(row) for row in rows]

    def waiting_behind(self, place: Place | None, now: float, judges: Sequence[str], limit: int) -> list[Waiting]:
        """Return up to `limit` due tasks of these judges that come after a place; None comes before all."""
        marks = ",".join("?" * len(judges))
        rows = self._database.rows(
            "SELECT due_at, trace_id, judge, content_hash FROM judgement WHERE status = 'queued' AND due_at <= ? "
            f"AND (due_at, trace_id, judge) > (?, ?, ?) AND +judge IN ({marks}) "  # + keeps to the index in this order
            "ORDER BY due_at, trace_id, judge LIMIT ?",
            (now, *(place or Place(0.0, "", "")), *judges, limit),
        )
        return [Waiting(Place(*row[:3]), row["content_hash"]) for row in rows]

    @staticmethod
    def finish(connection: sqlite3.Connection, task: JudgeTask, outcome: JudgementOutcome) -> bool:
        """Give a task its outcome, in the caller's transaction.

        Returns False, and changes nothing, if the task was finished before or its sample changed meanwhile.
        """
        changed = connection.execute(
            "UPDATE judgement SET status = ?, sample = '' WHERE trace_id = ? AND judge = ? AND status = 'queued' "
            "AND content_hash = ?",
            (outcome, task.trace_id, task.judge, task.content_hash),
        ).rowcount
        if changed:
            Ledger.add(connection, task.service, "queued", task.judge, -1)
            Ledger.add(connection, task.service, outcome, task.judge)
        return bool(changed)

    def outdated(self, tasks: Sequence[JudgeTask]) -> set[tuple[str, str]]:
        """Return the (trace id, judge) of the tasks that `finish` would refuse now."""
        query = (
            "SELECT trace_id, judge, content_hash FROM judgement WHERE status = 'queued' "
            "AND trace_id IN (SELECT value FROM json_each(?))"
        )
        traces = json.dumps(sorted({task.trace_id for task in tasks}))
        waiting = {tuple(row) for row in self._database.rows(query, (traces,))}
        keys = ((task.trace_id, task.judge, task.content_hash) for task in tasks)
        return {key[:2] for key in keys if key not in waiting}

    @staticmethod
    def postpone(connection: sqlite3.Connection, task: JudgeTask, until: float) -> None:
        """Make a task due again at `until` (Unix seconds), in the caller's transaction."""
        connection.execute(
            "UPDATE judgement SET due_at = ? WHERE trace_id = ? AND judge = ? AND status = 'queued'",
            (until, task.trace_id, task.judge),
        )

    def release_all(self) -> None:
        """Make every leased task due at once: called when the only worker starts."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE judgement SET due_at = completed_at WHERE status = 'queued' AND attempts > 0")

    def waiting(self) -> int:
        """Count the tasks without an outcome."""
        return int(self._database.rows("SELECT count(*) FROM judgement WHERE status = 'queued'")[0][0])

    def oldest(self) -> dict[str, float]:
        """Return, by judge, when the longest waiting task's trace was complete, in Unix seconds."""
        query = "SELECT judge, min(completed_at) AS at FROM judgement WHERE status = 'queued' GROUP BY judge"
        return {row["judge"]: row["at"] for row in self._database.rows(query)}

    def waiting_traces(self, trace_ids: Sequence[str]) -> set[str]:
        """Return those of the traces that wait for a judge."""
        query = (
            "SELECT DISTINCT trace_id FROM judgement WHERE status = 'queued' "
            "AND trace_id IN (SELECT value FROM json_each(?))"
        )
        return {row["trace_id"] for row in self._database.rows(query, (json.dumps(trace_ids),))}

    @staticmethod
    def holds(connection: sqlite3.Connection, trace_id: str, judge: str) -> bool:
        """Whether the trace was queued for the judge before, and is not forgotten."""
        query = "SELECT 1 FROM judgement WHERE trace_id = ? AND judge = ?"
        return connection.execute(query, (trace_id, judge)).fetchone() is not None

    @staticmethod
    def prune(connection: sqlite3.Connection, older_than: float) -> None:
        """Forget tasks completed before `older_than` (Unix seconds); those that still wait have expired."""
        # What waits for so long waits for a judge that was taken out of the configuration.
        waiting = connection.execute(
            "SELECT judge, service, count(*) AS tasks FROM judgement WHERE completed_at < ? AND status = 'queued' "
            "GROUP BY judge, service",
            (older_than,),
        )
        for row in waiting.fetchall():
            Ledger.add(connection, row["service"], "queued", row["judge"], -row["tasks"])
            Ledger.add(connection, row["service"], "expired", row["judge"], row["tasks"])
        connection.execute("DELETE FROM judgement WHERE completed_at < ?", (older_than,))


def _task(row: sqlite3.Row) -> JudgeTask:
    return JudgeTask(
        trace_id=row["trace_id"],
        judge=row["judge"],
        service=row["service"],
        sample=_known_sample(row["sample"]),
        inclusion_probability=row["inclusion_probability"],
        root_ended_at=row["root_ended_at"],
        completed_at=row["completed_at"],
        attempts=row["attempts"] + 1,
        content_hash=row["content_hash"],
        weight=row["weight"],
        rate=row["rate"],
    )


_known_sample = lru_cache(64)(Sample.from_json)  # the tasks of a trace's judges hold the same sample
