"""Old traces leave a real MLflow, the others stay: in a SQLite database and, in one test, PostgreSQL."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.abstract_store import AbstractStore
from prometheus_client import CollectorRegistry

from qualitrace_collector.config import parse_config
from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.mlflow_store import retention as retention_module
from qualitrace_collector.mlflow_store.experiments import WRITTEN_BY, written_experiments
from qualitrace_collector.mlflow_store.retention import BATCH, CHECK_SECONDS, UNAVAILABLE_SECONDS, Retainer
from qualitrace_collector.mlflow_store.store import TraceStore
from qualitrace_collector.pipeline.batch import Batch, BatchItem
from qualitrace_collector.pipeline.stored_trace import StoredTrace
from qualitrace_collector.settings import CollectorConfig
from support.mlflow_db import converted
from support.otlp import SECOND, START, chat_span
from support.pipeline import Collector
from support.ports import free_port
from support.postgres import MlflowDatabases

DAY = 86_400


class Aged:
    """A collector's databases with traces that began so many days before now."""

    def __init__(self, collector: Collector, retention: dict[str, object]) -> None:
        self.collector = collector
        self.config = parse_config({"mlflow": {"retention": retention}}, CollectorConfig)
        self.registry = CollectorRegistry()
        self.days: dict[str, float] = {}

    def add(self, ages: Iterable[float], service: str = "shop", *, whole: bool = True) -> list[str]:
        traces = [self._trace(len(self.days) + number + 1, age, service) for number, age in enumerate(ages)]
        assert self.collector.store.save(traces) == {}
        items = [
            BatchItem(
                piece=trace.piece,
                service=service,
                trace=replace(trace, whole=trace.stored if whole else ()),
                stored=StoredTrace(trace_id=trace.trace_id, service=service, spans=trace.stored),
                whole=whole,
                outcome="stored",
            )
            for trace in traces
        ]
        self.collector.recorder.record(Batch(items), self.collector.now)
        self.days |= {trace.trace_id: age for trace, age in zip(traces, ages, strict=True)}
        return [trace.trace_id for trace in traces]

    def _trace(self, number: int, age: float, service: str) -> ConvertedTrace:
        start = START - int(age * DAY * SECOND)
        return converted([chat_span(number, 1, question="Q?", answer="A.", start=start)], service)

    def retention(self, store: TraceStore | None = None) -> Retainer:
        store = store or self.collector.store
        database, clock = self.collector.database, lambda: START / SECOND
        return Retainer(self.config.mlflow.retention, store, database, self.registry, clock)

    def left(self) -> list[float]:
        """Return the ages in days of what MLflow still has."""
        return sorted(age for trace_id, age in self.days.items() if self.collector.store.read(trace_id))


@pytest.fixture
def aged(make: Callable[..., Collector]) -> Callable[..., Aged]:
    return lambda judges=(), **retention: Aged(make(judges=list(judges)), retention)


def test_older_traces_go_and_younger_stay(aged: Callable[..., Aged]):
    """Of traces 1 to 40 days old those of more than 30 days are deleted, and counted."""
    world = aged(days=30)
    world.add([1, 29, 31, 40])
    retention = world.retention()
    assert retention.step() < CHECK_SECONDS
    assert world.left() == [1, 29]
    assert world.registry.get_sample_value("qualitrace_traces_deleted_total") == 2
    assert retention.step() == CHECK_SECONDS


def test_each_experiment_keeps_its_youngest(aged: Callable[..., Aged]):
    """Two of three, and one of one, whatever their age."""
    world = aged(traces=2)
    world.add([1, 2, 3], "shop")
    world.add([100], "search")
    world.retention().step()
    assert world.left() == [1, 2, 100]


def test_two_collectors_delete_no_more_than_one_would(aged: Callable[..., Aged], monkeypatch: pytest.MonkeyPatch):
    """Each counts before the other deletes; a count, which takes PostgreSQL seconds, serves for many batches."""
    world, counts = aged(traces=50), list[str]()
    ages = [number / 100 for number in range(1, 3 * BATCH + 51)]
    world.add(ages)
    counted = retention_module._count  # pyright: ignore[reportPrivateUsage]

    def count(mlflow: AbstractStore, experiment_id: str) -> int:
        counts.append(experiment_id)
        return counted(mlflow, experiment_id)

    monkeypatch.setattr(retention_module, "_count", count)
    one = world.retention()
    world.registry = CollectorRegistry()
    other = world.retention()
    for retainer in (one, other, one):
        retainer.step()
    assert len(counts) == 2
    while min(one.step(), other.step()) < CHECK_SECONDS:
        pass
    assert world.left() == ages[:50]


def test_a_step_deletes_no_more_than_a_batch(aged: Callable[..., Aged]):
    """Storing has its turn between two batches."""
    world = aged(days=30)
    world.add([40 + number / 100 for number in range(BATCH + 5)])
    retention = world.retention()
    retention.step()
    assert len(world.left()) == 5
    retention.step()
    assert world.left() == []


def test_what_is_open_or_waits_for_a_judge_stays(aged: Callable[..., Aged]):
    """More old traces than a batch wait for their judge, one is open; only the finished one behind them is deleted."""
    world = aged(judges=["toxicity"], days=30, traces=1)
    waiting = world.add([50 + number / 1000 for number in range(BATCH + 1)])
    world.add([45], whole=False)
    (finished,) = world.add([40])
    with world.collector.database.transaction() as connection:
        connection.execute("UPDATE judgement SET status = 'scored' WHERE trace_id = ?", (finished,))
    world.retention().step()
    assert len(world.left()) == len(waiting) + 1
    assert 40 not in world.left()


def test_what_is_stored_and_not_recorded_yet_stays(aged: Callable[..., Aged], monkeypatch: pytest.MonkeyPatch):
    """Between the two nobody knows whether it is open, or waits for a judge; once recorded, and done, it goes."""
    world = aged(days=30)
    old = [chat_span(1, 1, question="Q?", answer="A.", start=START - 40 * DAY * SECOND)]
    retention, recorded = world.retention(), world.collector.recorder.record

    def record(batch: Batch, now: float) -> Batch:
        retention.step()
        assert world.collector.stored(1) == 1
        return recorded(batch, now)

    monkeypatch.setattr(world.collector.recorder, "record", record)
    world.collector.send(old)
    world.collector.run()
    retention.step()
    assert world.collector.stored(1) == 0


def test_more_experiments_than_mlflow_gives_at_once_are_all_looked_at(aged: Callable[..., Aged], tmp_path: Path):
    """A thousand newer ones stand before ours."""
    world = aged(days=30)
    world.add([40])
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        columns = "(experiment_id, name, lifecycle_stage, creation_time, last_update_time, workspace)"
        newer = [(number, str(number), "active", 1 << 50, 1 << 50, "default") for number in range(1000, 2000)]
        database.executemany(f"INSERT INTO experiments {columns} VALUES (?, ?, ?, ?, ?, ?)", newer)
        tags = [(WRITTEN_BY, "true", number) for number, *_ in newer]
        database.executemany("INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)", tags)
    assert len(set(world.collector.store.call(written_experiments))) == 1001


def test_a_deleted_experiment_is_trimmed_too(aged: Callable[..., Aged]):
    """Its service may still send, and it may be restored."""
    world = aged(days=30)
    world.add([1, 40])
    client = MlflowClient(world.collector.store.tracking_uri)
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    world.retention().step()
    assert world.left() == [1]


def test_other_experiments_are_not_touched(aged: Callable[..., Aged]):
    """An experiment that no collector stored a trace in is none of our business."""
    world = aged(days=30)
    world.add([40])
    client = MlflowClient(world.collector.store.tracking_uri)
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    client.delete_experiment_tag(experiment.experiment_id, WRITTEN_BY)
    assert world.retention().step() == CHECK_SECONDS
    assert world.left() == [40]


def test_an_mlflow_that_is_away_is_asked_again_later(aged: Callable[..., Aged], tmp_path: Path):
    """Nothing is raised; the next step waits."""
    world = aged(days=30)
    world.add([40])
    away = TraceStore(f"http://127.0.0.1:{free_port()}", tmp_path.as_uri(), "{service.name}")
    assert world.retention(away).step() == UNAVAILABLE_SECONDS


@pytest.mark.slow
def test_postgresql_forgets_the_spans_too(aged: Callable[..., Aged], postgres: MlflowDatabases, tmp_path: Path):
    """MLflow's own client finds the young trace alone."""
    world = aged(days=30)
    world.collector.store = TraceStore(postgres.new(), tmp_path.as_uri(), "{service.name}")
    world.add([1, 40])
    world.retention().step()
    client = MlflowClient(world.collector.store.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'shop'")
    (left,) = client.search_traces(locations=[experiment.experiment_id])
    assert world.days[left.info.trace_id] == 1
    assert world.left() == [1]


def test_everything_is_kept_by_default():
    """Neither limit is set."""
    retention = parse_config({}, CollectorConfig).mlflow.retention
    assert (retention.days, retention.traces) == (None, None)
