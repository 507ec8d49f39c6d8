"""The pipeline on real databases, with a clock of the test's."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from prometheus_client import CollectorRegistry, generate_latest

from qualitrace_collector.config import parse_config
from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.mlflow_store.writer_process import Writer
from qualitrace_collector.pipeline.feedback_delivery import FeedbackDelivery
from qualitrace_collector.pipeline.loop import Pipeline
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import Database, JudgeQueue, JudgeTask, Ledger
from support.mlflow_db import new_store
from support.otlp import rag_trace, request, trace_id


@dataclass
class Collector:
    """A pipeline on real databases in a folder, with a clock of its own; `restart` is a crash."""

    folder: Path
    raw: dict[str, Any]
    writer: Writer | None = None
    now: float = 1_700_000_100.0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    one_by_one: bool = False

    def __post_init__(self) -> None:
        self.store = new_store(self.folder)
        self.restart()

    def restart(self) -> None:
        config = parse_config(self.raw, CollectorConfig)
        self.registry = CollectorRegistry()
        self.database = Database(self.folder / "state.db")
        self.journal = SqliteJournal(self.folder / "journal.db", 1 << 30)
        self.recorder = recorder = Recorder(
            config, self.database, TraceMetrics(self.registry), one_by_one=self.one_by_one
        )
        self.delivery = FeedbackDelivery(
            config, self.database, self.store, recorder.sampler, self.registry, clock=lambda: self.now
        )
        self.pipeline = Pipeline(
            config, self.journal, self.store, Ledger(self.database), recorder, lambda: self.now, self.writer
        )

    def send(self, spans: list, service: str = "shop", tenant: str = "", **resource: Any) -> None:
        payload = request(spans, service, **resource).SerializeToString()
        self.journal.append([JournalEntry(signal="traces", payload=payload, received_at=self.now, tenant=tenant)])

    def send_logs(self, *records: LogRecord) -> None:
        message = ExportLogsServiceRequest()
        message.resource_logs.add().scope_logs.add(log_records=records)
        self.journal.append([JournalEntry(signal="logs", payload=message.SerializeToString(), received_at=self.now)])

    def run(self, seconds: float = 10.0) -> None:
        """Let the given time pass in steps of half a second."""
        for _ in range(int(seconds * 2)):
            self.pipeline.step()
            self.delivery.step()
            self.now += 0.5
        self.pipeline.step()

    def stored(self, number: int) -> int:
        return len(self.store.read("tr-" + trace_id(number).hex()))

    def tasks(self) -> list[JudgeTask]:
        return JudgeQueue(self.database).lease(100, self.now + 1e6, 0, ["relevance", "toxicity"])

    def totals(self) -> dict[tuple[str, str], int]:
        return {(row["judge"], row["outcome"]): row["total"] for row in Ledger(self.database).totals()}

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


def rag(number: int, **values: Any) -> list:
    """Build a RAG trace; keywords replace its texts."""
    return rag_trace(number, **({"question": "Q?", "answer": "A.", "passages": ["P."]} | values))
