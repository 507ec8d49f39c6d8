"""A judge worker on real databases, with a clock and judges of the test's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from prometheus_client import CollectorRegistry

from qualitrace_collector.process.in_work import InWork
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask, Ledger
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.judges.build import Escalation, JudgeStage
from qualitrace_monitors.judges.contract import Score
from qualitrace_monitors.judges.settings import Budget
from qualitrace_monitors.judging.assessments import VERDICT
from qualitrace_monitors.judging.calls import CallsInTurn
from qualitrace_monitors.judging.judgement import Judgement
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.judging.worker import JudgeWorker
from support.mlflow_db import converted, new_store
from support.otlp import rag_trace

MIDNIGHT = 1_700_006_400.0

METADATA = {
    "model": "m1",
    "prompt_version": "p1",
    "session": "s1",
    "route": "/ask",
    "release": "1.4",
    "environment": "production",
    "retriever": "handbook",
}


class ScriptedJudge:
    """A judge whose verdicts the test decides."""

    name = "relevance"
    source_id = "test/relevance"
    model = "test:/relevance"
    version = "v1"

    def __init__(self, tier: str = "local") -> None:
        self.tier = tier
        self.answers: list[Score | Exception] = []
        self.seen: list[Sample] = []

    def score(self, sample: Sample) -> Score:
        self.seen.append(sample)
        answer = self.answers.pop(0) if self.answers else verdict()
        if isinstance(answer, Exception):
            raise answer
        return answer


def verdict(**values: Any) -> Score:
    return Score(**({"value": 0.25, "label": "fail", "rationale": "off topic"} | values))


class Monitor:
    """A worker on real databases, with a clock and a scripted judge."""

    def __init__(self, folder: Path, tier: str = "local", **budget: Any) -> None:
        self.now = MIDNIGHT + 1000
        self.judge = ScriptedJudge(tier)
        self.then: Escalation | None = None
        self.new_calls: Callable[[], CallsInTurn[Judgement]] = lambda: CallsInTurn(10)
        self.database = Database(folder / "state.db")
        self.store = new_store(folder)
        self.registry = CollectorRegistry()
        self.metrics = JudgeMetrics(self.registry)
        self.budget = Budget(**budget)
        self.restart()

    def restart(self) -> None:
        self.worker = self._work(JudgeStage("relevance", self.judge, "local", self.then))
        JudgeQueue(self.database).release_all()

    def cascade(self, audit_rate: float) -> None:
        """Let a second judge, `model`, have the last word; `model_worker` asks it."""
        self.model = ScriptedJudge("llm")
        self.model.version = "m1"
        self.then = Escalation("relevance/llm", audit_rate, self.model.version)
        self.model_worker = self._work(JudgeStage(self.then.queue, self.model, "openai"))
        self.restart()

    def _work(self, stage: JudgeStage) -> JudgeWorker:
        spending = Spending(self.budget, [], self.database)
        return JudgeWorker(
            [stage],
            self.database,
            self.store,
            self.metrics,
            spending,
            self.new_calls(),
            InWork(self.database.path.with_name(f"{stage.lane}.in-work")),
            clock=lambda: self.now,
        )

    def put(self, number: int, answer: str | None = None, probability: float = 0.5, session: str = "s1") -> str:
        answer = f"A {number}." if answer is None else answer
        trace = converted(rag_trace(number, question="Q?", answer=answer, passages=["P."]), "shop")
        self.store.save([trace])
        task = JudgeTask(
            trace_id=trace.trace_id,
            judge="relevance",
            service="shop",
            sample=Sample(inputs="Q?", outputs=answer, metadata=METADATA | {"session": session}),
            inclusion_probability=probability,
            root_ended_at=self.now - 3,
            completed_at=self.now - 1,
        )
        with self.database.transaction() as connection:
            JudgeQueue.put(connection, task)
        return trace.trace_id

    def assessments(self, trace_id: str) -> list[Any]:
        """Return the scores on a trace in MLflow."""
        return [item for item in self._assessments(trace_id) if not item.name.endswith(VERDICT)]

    def verdicts(self, trace_id: str) -> list[tuple[str, str, bool]]:
        """Return the verdicts beside them, those that hold no more first: name, value and whether it is valid."""
        items = sorted(self._assessments(trace_id), key=lambda item: (item.valid, item.create_time_ms))
        return [(item.name, item.value, item.valid) for item in items if item.name.endswith(VERDICT)]

    def _assessments(self, trace_id: str) -> list[Any]:
        return MlflowClient(self.store.tracking_uri).get_trace(trace_id).info.assessments

    def scores(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.database.connection().execute("SELECT * FROM score")]

    def outcomes(self) -> dict[str, int]:
        return {row["outcome"]: row["total"] for row in Ledger(self.database).totals()}
