"""Retention in a real MLflow: what is too old or too many goes, the oldest first, a batch at a time."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Trace
from prometheus_client import CollectorRegistry

from qualitrace_collector.config.models import Retention
from qualitrace_collector.retention import BATCH, BATCH_PAUSE_SECONDS, CHECK_SECONDS, Retainer
from qualitrace_collector.store import TraceStore
from support.mlflow_db import converted, new_store
from support.otlp import START, chat_span, trace_id

DAY_NS = 86_400 * 10**9
NOW = START / 1e9 + 10 * 86_400


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return new_store(tmp_path)


def fill(store: TraceStore, numbers: range, service: str = "shop", age_step: int = 1) -> None:
    """Store a trace a number, each begun `age_step` nanoseconds after the one before."""
    traces = [
        converted([chat_span(number, 1, question="Q?", answer="A.", start=START + number * age_step)], service)
        for number in numbers
    ]
    assert store.save(traces) == {}


def kept(store: TraceStore, service: str = "shop") -> list[str]:
    client = MlflowClient(store.tracking_uri)
    experiment = client.get_experiment_by_name(service)
    assert experiment is not None
    found: list[Trace] = client.search_traces(locations=[experiment.experiment_id], max_results=500)
    return sorted(trace.info.trace_id for trace in found)


def ids(numbers: range) -> list[str]:
    return [f"tr-{trace_id(number).hex()}" for number in numbers]


def test_old_traces_go_with_all_that_belongs_to_them(store: TraceStore):
    """Of ten traces a day apart those that began more than four days ago are deleted; the others stay whole."""
    fill(store, range(1, 11), age_step=DAY_NS)
    registry = CollectorRegistry()
    retainer = Retainer(Retention(days=4.5), store, registry, lambda: NOW)
    assert retainer.step() == BATCH_PAUSE_SECONDS
    assert kept(store) == ids(range(6, 11))
    assert store.read(ids(range(1, 2))[0]) == []
    assert len(store.read(ids(range(6, 7))[0])) == 1
    assert retainer.step() == CHECK_SECONDS
    assert registry.get_sample_value("qualitrace_traces_deleted_total") == 5


def test_too_many_go_in_small_batches_the_oldest_first(store: TraceStore):
    """Each step deletes a batch at most, so that storing goes on between them; the newest are left."""
    fill(store, range(1, BATCH + 31), age_step=10**6)
    retainer = Retainer(Retention(traces=20), store, CollectorRegistry(), lambda: NOW)
    assert retainer.step() == BATCH_PAUSE_SECONDS
    assert len(kept(store)) == 30
    assert retainer.step() == BATCH_PAUSE_SECONDS
    assert kept(store) == ids(range(BATCH + 11, BATCH + 31))
    assert retainer.step() == CHECK_SECONDS


def test_each_experiment_has_its_own_count(store: TraceStore):
    """A busy service does not push out the traces of a quiet one."""
    fill(store, range(1, 9), "busy", 10**6)
    fill(store, range(11, 13), "quiet", 10**6)
    Retainer(Retention(traces=3), store, CollectorRegistry(), lambda: NOW).step()
    assert (len(kept(store, "busy")), len(kept(store, "quiet"))) == (3, 2)


def test_what_others_wrote_is_left_alone(store: TraceStore):
    """An experiment that no collector stored a trace in is none of our business."""
    fill(store, range(1, 4), age_step=10**6)
    client = MlflowClient(store.tracking_uri)
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    client.delete_experiment_tag(experiment.experiment_id, "qualitrace_collector")
    assert Retainer(Retention(traces=1), store, CollectorRegistry(), lambda: NOW).step() == CHECK_SECONDS
    assert len(kept(store)) == 3
