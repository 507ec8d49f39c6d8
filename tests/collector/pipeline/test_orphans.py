"""Traces whose root is not here: it was filtered out, is still running, or is in another service."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from mlflow.entities import TraceInfo, TraceState
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from support.otlp import LOCAL_PARENT, REMOTE_PARENT, chat_span, span, trace_id
from support.pipeline import Collector, rag

REQUESTS = 'qualitrace_requests_total{service="shop"}'
STORES = ["bulk", "log_spans", pytest.param("postgresql", marks=pytest.mark.slow)]
PERIOD = 120
"""`assembly.orphan_period` by default, and the time within which it is noticed."""
SLACK = 30


def test_a_trace_whose_root_was_filtered_out_is_judged_two_minutes_after_its_last_span(make: Callable[..., Collector]):
    """Its flags say that the parent is local, so it waits for it; MLflow shows it unfinished until then."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(PERIOD - 1)
    assert collector.tasks() == []
    assert shown(collector).state == TraceState.IN_PROGRESS
    collector.run(1 + SLACK)
    assert {task.sample.outputs for task in collector.tasks()} == {"A."}
    assert f"{REQUESTS} 1.0" in collector.metrics()
    assert 'type="input"} 14.0' in collector.metrics()
    info = shown(collector)
    assert (info.state, info.request_preview, info.execution_duration) == (TraceState.OK, '"Q?"', 1000)
    assert info.response_preview
    assert {item.parent_id for item in collector.store.read(info.trace_id)} == {"0" * 15 + "1"}
    collector.run(2 * PERIOD)
    assert f"{REQUESTS} 1.0" in collector.metrics()
    assert collector.totals() == {("", "stored"): 1, ("relevance", "queued"): 1, ("toxicity", "queued"): 1}


def test_it_is_judged_after_a_restart_too(make: Callable[..., Collector]):
    """Since when it is silent is on disk; what the spans said of head sampling is, too."""
    collector = make()
    collector.send([chat_span(1, 2, 1, question="Q?", answer="A.", tracestate="ot=th:8;rv:ffffffffffffff")])
    collector.run(70)
    collector.restart()
    collector.run(PERIOD - 70 - 1)
    assert collector.tasks() == []
    collector.run(1 + SLACK)
    assert [task.inclusion_probability for task in collector.tasks()] == [0.5, 0.5]
    assert f"{REQUESTS} 1.0" in collector.metrics()
    collector.restart()
    collector.run(2 * PERIOD)
    assert REQUESTS not in collector.metrics()


def test_it_is_judged_by_the_journal_if_the_process_was_away(make: Callable[..., Collector]):
    """Spans that a crash left in the journal for an hour are not held for two minutes more."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(5)
    collector.restart()
    collector.now += 3600
    collector.run(1)
    assert {task.sample.outputs for task in collector.tasks()} == {"A."}
    assert shown(collector).state == TraceState.OK


def test_a_root_that_runs_for_long_is_waited_for_while_spans_come(make: Callable[..., Collector]):
    """An agent that works for ten minutes, with a step each minute, is judged once: with its root."""
    collector = make()
    root, *steps = rag(1)
    collector.send(steps)
    for minute in range(10):
        collector.run(60)
        collector.send([span(1, 10 + minute, 1)])
    assert REQUESTS not in collector.metrics()
    collector.send([root])
    collector.run(5)
    assert len(collector.tasks()) == 2
    assert f"{REQUESTS} 1.0" in collector.metrics()


def test_spans_that_wait_in_a_backlog_put_the_end_off(make: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch):
    """While MLflow is away nothing is taken for silent: more of it is in the journal."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(70)

    def away(_: Any) -> Any:
        raise StoreUnavailable("down")

    with monkeypatch.context() as outage:
        outage.setattr(collector.store, "save", away)
        outage.setattr(collector.store, "read_all", away)
        collector.send([span(1, 9, 1)])
        collector.run(PERIOD + SLACK)
    collector.send(rag(1)[:1])
    collector.run(40)
    assert collector.stored(1) == 4
    assert f"{REQUESTS} 1.0" in collector.metrics()
    assert shown(collector).execution_duration == 2000


def test_a_root_that_comes_after_all_is_shown_and_judged(make: Callable[..., Collector]):
    """Late by an hour: MLflow shows its state and previews, the judges see its content, the request counts once."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(PERIOD + SLACK)
    collector.now += 3600
    collector.send([span(1, 1, name="POST /ask", error="broke", input__value="Asked", seconds=2)])
    collector.run(5)
    info = shown(collector)
    assert (info.state, info.request_preview, info.execution_duration) == (TraceState.ERROR, '"Asked"', 2000)
    assert {task.sample.inputs for task in collector.tasks()} == {"Asked"}
    assert collector.totals()["relevance", "queued"] == 1
    assert f"{REQUESTS} 1.0" in collector.metrics()


def test_an_orphan_that_was_deleted_in_mlflow_is_not_asked_for_again(make: Callable[..., Collector]):
    """There is nothing to judge; the ledger has its end."""
    collector = make()
    collector.send(rag(1)[1:])
    collector.run(70)
    info = shown(collector)
    collector.store.call(lambda store: store.delete_traces(info.experiment_id, trace_ids=[info.trace_id]))
    collector.run(PERIOD)
    assert collector.tasks() == []
    row = collector.database.connection().execute("SELECT root_seen FROM trace").fetchone()
    assert row["root_seen"] == 1
    assert REQUESTS not in collector.metrics()


def test_many_orphans_end_together(make: Callable[..., Collector]):
    """More than are read back at once: all within the bound."""
    collector = make(judges=[])
    for number in range(1, 51):
        collector.send(rag(number)[1:])
    collector.run(PERIOD + SLACK)
    assert f"{REQUESTS} 50.0" in collector.metrics()


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("error", "state"), [("", TraceState.OK), ("broke", TraceState.ERROR)])
def test_a_trace_that_began_in_another_service_is_shown_whole(
    make: Callable[..., Collector], request: pytest.FixtureRequest, store: str, error: str, state: TraceState
):
    """Its state, previews and duration are those of its local root, whose parent's id is kept."""
    collector = on_store(make(), store, request)
    collector.send(called(error))
    collector.run(5)
    info = shown(collector)
    assert (info.state, info.request_preview, info.response_preview) == (state, '"Q?"', '"Here: A."')
    assert info.execution_duration == 2000
    assert info.token_usage == {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22}
    assert "1" in {item.parent_id[-1] for item in collector.store.read(info.trace_id) if item.parent_id}


@pytest.mark.parametrize("store", STORES)
def test_the_caller_takes_over_what_is_shown(
    make: Callable[..., Collector], request: pytest.FixtureRequest, store: str
):
    """It is sent by another process ten seconds later; what comes later still is summed up, and shows nothing else."""
    collector = on_store(make(), store, request)
    collector.send(called())
    collector.run(10)
    collector.send([span(1, 1, seconds=9, name="GET /", error="timeout", input__value="Asked")], service="gateway")
    collector.run(10)
    info = shown(collector)
    assert (info.state, info.request_preview, info.execution_duration) == (TraceState.ERROR, '"Asked"', 9000)
    collector.send([chat_span(1, 9, 2, question="More?", answer="Yes.", seconds=12, flags=REMOTE_PARENT)])
    collector.run(10)
    info = shown(collector)
    assert (info.state, info.request_preview, info.execution_duration) == (TraceState.ERROR, '"Asked"', 12_000)
    assert info.token_usage == {"input_tokens": 28, "output_tokens": 16, "total_tokens": 44}


def test_a_crash_before_the_state_is_shown_is_made_good(
    make: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch
):
    """The spans are stored, the state is not: the replay, which has no span to store, shows it."""
    collector = make()
    make_untested(collector.store)

    def crash(*_: Any, **__: Any) -> None:
        raise SystemExit

    collector.send(called())
    with monkeypatch.context() as crashing:
        crashing.setattr(collector.store._headlines, "save", crash)
        with pytest.raises(SystemExit):
            collector.run(5)
    assert shown(collector).state == TraceState.IN_PROGRESS
    collector.restart()
    collector.run(5)
    assert shown(collector).state == TraceState.OK


def test_what_cannot_be_shown_holds_nothing_up(make: Callable[..., Collector], caplog: pytest.LogCaptureFixture):
    """MLflow's own store refuses it for a deleted experiment: the trace is stored and judged, the log says so once."""
    collector = make()
    make_untested(collector.store)
    collector.send(rag(1))
    collector.run(5)
    experiment = shown(collector).experiment_id
    collector.store.call(lambda store: store.delete_experiment(experiment))
    for number in (2, 3):
        collector.send(called(number=number))
        collector.run(5)
    assert {task.trace_id[-1] for task in collector.tasks()} == {"1", "2", "3"}
    assert shown(collector, 3).state == TraceState.IN_PROGRESS
    lines = [item.getMessage() for item in caplog.records if "does not take the state" in item.getMessage()]
    assert len(lines) == 1
    assert shown(collector, 2).trace_id in lines[0]


def test_another_collectors_root_goes_before_a_child(make: Callable[..., Collector], tmp_path_factory: Any):
    """Two collectors share MLflow: whichever stores first, the trace shows its root's state and previews."""
    gateway = make()
    backend = Collector(tmp_path_factory.mktemp("other"), {"judges": []})
    backend.store = gateway.store
    backend.restart()
    orders = {1: (gateway, backend), 2: (backend, gateway)}
    for number, order in orders.items():
        root = span(number, 1, seconds=9, name="GET /", error="timeout", input__value="Asked", gen_ai__system="x")
        for collector in order:
            collector.send([root] if collector is gateway else called(number=number))
            collector.run(5)
        info = shown(gateway, number)
        assert (info.state, info.request_preview) == (TraceState.ERROR, '"Asked"'), number


def called(error: str = "", number: int = 1) -> list[Span]:
    """What a service sends of a trace that another one, with span 1, began."""
    own: dict[str, Any] = {"flags": REMOTE_PARENT, "error": error, "seconds": 2.0, "output__value": "Here: A."}
    return [
        span(number, 2, 1, name="POST /ask", **own),
        chat_span(number, 3, 2, question="Q?", answer="A.", flags=LOCAL_PARENT),
    ]


def shown(collector: Collector, number: int = 1) -> TraceInfo:
    return collector.store.call(lambda store: store.get_trace_info("tr-" + trace_id(number).hex()))


def on_store(collector: Collector, kind: str, request: pytest.FixtureRequest) -> Collector:
    """Let a collector store in bulk, through MLflow's own store, or in PostgreSQL."""
    if kind == "log_spans":
        make_untested(collector.store)
    if kind == "postgresql":
        uri = request.getfixturevalue("postgres").new()
        collector.store = TraceStore(uri, collector.store.artifact_uri, "{service.name}")
        collector.restart()
    return collector


def make_untested(store: TraceStore) -> None:
    """Give MLflow's tables a revision that qualitrace was not tested on: MLflow's own store writes them then."""
    store.check()
    with sqlalchemy.create_engine(store.tracking_uri).begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'other'"))
