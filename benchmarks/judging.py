"""Times a judging worker with all that it does: leases, judges, MLflow assessments, scores, ledger."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import CollectorRegistry

from fake_provider import provider
from qualitrace_collector.convert import convert
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.piece import Piece, SpanRecord
from qualitrace_collector.process.in_work import InWork
from qualitrace_collector.sample import Sample
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask
from qualitrace_monitors.budget.spending import Spending
from qualitrace_monitors.judges.build import build_stages
from qualitrace_monitors.judges.settings import Budget, JudgeConfig
from qualitrace_monitors.judging.calls import CallsInTurn, ConcurrentCalls
from qualitrace_monitors.judging.metrics import JudgeMetrics
from qualitrace_monitors.judging.worker import JudgeWorker
from qualitrace_monitors.server.judge_workers import LOCAL_BATCH

_QUESTION = "How long does the warranty of kettle number {n} last, and who repairs it?"
_ANSWER = "The warranty of kettle number {n} lasts 24 months. Brightwater Services repairs it at no cost."
_PASSAGE = (
    "Every kettle, number {n} included, comes with a warranty of 24 months from the day of purchase. Repairs are done "
    "by Brightwater Services at no cost. Scale and dents are not covered. Send the kettle with a copy of the bill."
)


@dataclass(frozen=True, slots=True)
class Result:
    """How many judgements came of a load, and in how long; `cpu` is what this process used, both in seconds."""

    name: str
    judgements: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Judgements in a second of the wall clock."""
        return self.judgements / self.seconds


def measure_local(folder: Path, traces: int, metrics: Sequence[str]) -> Result:
    """Judge traces by local judges in one thread."""
    configs = [JudgeConfig(name=metric) for metric in metrics]
    return _measure(f"local: {', '.join(metrics)}", folder, configs, traces)


def measure_llm(folder: Path, traces: int, delay: float) -> Result:
    """Judge traces by one LLM judge whose provider answers after `delay` seconds."""
    with provider(delay) as url:
        config = JudgeConfig.model_validate({"name": "groundedness", "model": "openai:/fake", "base_url": url})
        return _measure(f"llm, {delay * 1000:.0f} ms an answer", folder, [config], traces)


def _measure(name: str, folder: Path, configs: Sequence[JudgeConfig], traces: int) -> Result:
    folder.mkdir(parents=True)
    database = Database(folder / "state.db")
    store = TraceStore(f"sqlite:///{folder / 'mlflow.db'}", folder.as_uri(), "bench")
    store.check()
    for start in range(0, traces, 200):
        _fill(database, store, configs, range(start, min(traces, start + 200)))
    stages = list(build_stages(configs))
    calls = CallsInTurn(LOCAL_BATCH) if stages[0].lane == "local" else ConcurrentCalls()
    metrics = JudgeMetrics(CollectorRegistry())
    in_work = InWork(folder / "judge.in-work")
    worker = JudgeWorker(stages, database, store, metrics, Spending(Budget(), configs, database), calls, in_work)
    began, cpu = time.perf_counter(), time.process_time()
    worker.drain(time.time() + 120)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    judged = database.connection().execute("SELECT count(*) FROM score").fetchone()[0]
    database.close()
    return Result(name, judged, seconds, used)


def _fill(database: Database, store: TraceStore, configs: Sequence[JudgeConfig], numbers: range) -> None:
    pieces = [_piece(number + 1) for number in numbers]
    converted = [convert(piece, "bench") for piece in pieces]
    store.save(converted)
    now = time.time()
    with database.transaction() as connection:
        for number, trace in zip(numbers, converted, strict=True):
            texts = [text.format(n=number) for text in (_QUESTION, _ANSWER, _PASSAGE)]
            sample = Sample(inputs=texts[0], outputs=texts[1], passages=(texts[2],), passages_source="retriever")
            for config in configs:
                task = JudgeTask(
                    trace_id=trace.trace_id,
                    judge=config.name,
                    service="bench",
                    sample=sample,
                    inclusion_probability=1.0,
                    root_ended_at=now,
                    completed_at=now,
                )
                JudgeQueue.put(connection, task)


def _piece(number: int) -> Piece:
    trace_id = number.to_bytes(16, "big")
    span = Span(trace_id=trace_id, span_id=number.to_bytes(8, "big"), name="chat")
    span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns() - 1_000_000, time.time_ns()
    record = SpanRecord(span, Resource(), InstrumentationScope())
    return Piece(trace_id=trace_id, spans=(record,), logs=(), root_seen=True, positions=frozenset({1}))
