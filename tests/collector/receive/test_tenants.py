"""Tenants: a trace belongs to the one that first sent it, over restarts, up to its own experiment in MLflow."""

import asyncio
import http.client
import sqlite3
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from prometheus_client import CollectorRegistry

from qualitrace_collector.config import parse_config
from qualitrace_collector.dead_letters.replay import replay
from qualitrace_collector.journal import ForeignTraces, GroupCommitter, JournalEntry, SqliteJournal
from qualitrace_collector.pipeline.loop import Pipeline
from qualitrace_collector.pipeline.recorder import Recorder
from qualitrace_collector.pipeline.trace_metrics import TraceMetrics
from qualitrace_collector.settings import CollectorConfig
from qualitrace_collector.state import Database, DeadLetters, Ledger
from support.mlflow_db import new_store
from support.otlp import rag_trace, request, span, trace_id
from support.receiving import receiving

ACME, GLOBEX, PLAIN = "t0ken-of-acme", "t0ken-of-globex", "t0ken-of-nobody"
TOKENS = [{"token": ACME, "tenant": "acme"}, {"token": GLOBEX, "tenant": "globex"}, {"token": PLAIN}]
DAY = 86_400.0


@pytest.fixture
def shared(start_receiver: Callable[..., Any]) -> Any:
    """A receiver that two tenants share, and senders without one."""
    return start_receiver(otlp={"tokens": TOKENS})


def post(receiver: Any, body: bytes, token: str, path: str = "/v1/traces") -> bytes:
    """Send a protobuf request that is taken; return the answer."""
    connection = http.client.HTTPConnection(receiver.http, timeout=20)
    headers = {"Content-Type": "application/x-protobuf", "Authorization": f"Bearer {token}"}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    assert response.status == 200
    answer = response.read()
    connection.close()
    return answer


def send(receiver: Any, spans: list[Any], token: str) -> ExportTraceServiceResponse:
    """Send spans over HTTP."""
    return ExportTraceServiceResponse.FromString(post(receiver, request(spans).SerializeToString(), token))


def kept(receiver: Any) -> list[tuple[str, bytes]]:
    """Return the tenants and the requests in the journal."""
    return [(entry.tenant, entry.payload) for entry in receiver.journal.read(0, 100, 1 << 30)]


def test_spans_of_another_tenants_trace_are_rejected_and_their_neighbours_kept(shared: Any) -> None:
    """The partial success has the number, the reason and the trace; the journal has the rest, under its tenant."""
    first = request([span(1, 1)]).SerializeToString()
    assert post(shared, first, ACME) == b""
    response = send(shared, [span(2, 2), span(1, 3), span(1, 4)], GLOBEX)
    assert response.partial_success.rejected_spans == 2
    assert response.partial_success.error_message == (
        f"2 rejected: trace belongs to another tenant (first: trace_id {trace_id(1).hex()})"
    )
    assert kept(shared) == [("acme", first), ("globex", request([span(2, 2)]).SerializeToString())]
    counters = shared.journal.counters()
    assert (counters["spans_rejected", "tenant"], counters["spans_received", "http"]) == (2, 2)
    assert counters["requests_received", "http"] == 2


def test_a_tenant_adds_to_its_own_trace_as_often_as_it_likes(shared: Any) -> None:
    """Later spans of the same tenant pass untouched; senders without a tenant are one like the others."""
    for number in range(1, 4):
        assert not send(shared, [span(1, number)], ACME).HasField("partial_success")
    assert send(shared, [span(1, 5)], PLAIN).partial_success.rejected_spans == 1
    assert not send(shared, [span(6, 6)], PLAIN).HasField("partial_success")
    assert send(shared, [span(6, 7)], ACME).partial_success.rejected_spans == 1
    assert [tenant for tenant, _ in kept(shared)] == ["acme", "acme", "acme", ""]


def test_a_request_that_is_all_foreign_leaves_nothing(shared: Any, eventually: Callable[..., Any]) -> None:
    """It is answered as a partial success and counted, but no entry is written."""
    send(shared, [span(1, 1)], ACME)
    assert send(shared, [span(1, 2)], GLOBEX).partial_success.rejected_spans == 1
    assert len(kept(shared)) == 1
    eventually(lambda: shared.journal.counters().get(("requests_received", "http")) == 2)


def test_grpc_knows_tenants_too(shared: Any) -> None:
    """Over the other door the same trace has the same owner."""
    send(shared, [span(1, 1)], ACME)
    metadata = [("authorization", f"Bearer {GLOBEX}")]
    with grpc.insecure_channel(shared.grpc) as channel:
        response = TraceServiceStub(channel).Export(request([span(1, 2), span(2, 3)]), timeout=20, metadata=metadata)
    assert response.partial_success.rejected_spans == 1
    assert [tenant for tenant, _ in kept(shared)] == ["acme", "globex"]


def test_log_records_of_another_tenants_trace_are_rejected(shared: Any) -> None:
    """Prompts must not be slipped into another tenant's trace by way of logs either."""
    send(shared, [span(1, 1)], ACME)
    logs = ExportLogsServiceRequest()
    scope = logs.resource_logs.add().scope_logs.add()
    for number in (1, 2):
        scope.log_records.add(trace_id=trace_id(number), span_id=b"12345678", event_name="gen_ai.user.message")
    answer = post(shared, logs.SerializeToString(), GLOBEX, "/v1/logs")
    assert ExportLogsServiceResponse.FromString(answer).partial_success.rejected_log_records == 1
    del scope.log_records[0]
    assert kept(shared)[1:] == [("globex", logs.SerializeToString())]
    assert shared.journal.counters()["log_records_rejected", "tenant"] == 1


def test_owners_outlive_a_restart_and_the_settling_of_their_requests(receive_config: Callable[..., Any]) -> None:
    """After the first request is stored and deleted, and the collector restarted, the trace is still its tenant's."""
    config = receive_config(otlp={"tokens": TOKENS})
    with receiving(config) as before:
        send(before, [span(1, 1)], ACME)
        before.journal.delete_done([1])
    with receiving(config) as after:
        assert send(after, [span(1, 2)], GLOBEX).partial_success.rejected_spans == 1
        assert not send(after, [span(1, 3)], ACME).HasField("partial_success")


def test_without_tenants_nothing_is_remembered(start_receiver: Callable[..., Any]) -> None:
    """Tokens alone, or none, cost no row a trace."""
    receiver = start_receiver(otlp={"tokens": [{"token": PLAIN}]})
    send(receiver, [span(1, 1)], PLAIN)
    with sqlite3.connect(receiver.journal.path) as connection:
        assert connection.execute("SELECT count(*) FROM owner").fetchone() == (0,)


@pytest.fixture
def journal(tmp_path: Path) -> Generator[SqliteJournal]:
    """An empty journal."""
    opened = SqliteJournal(tmp_path / "journal.db", 1 << 20)
    yield opened
    opened.close()


def entry(tenant: str, *numbers: int, at: float = 0.0) -> JournalEntry:
    """Make an entry that claims the traces of these numbers."""
    claims = frozenset(trace_id(number) for number in numbers)
    return JournalEntry(signal="traces", payload=b"x", received_at=at, tenant=tenant, claims=claims)


def test_of_two_tenants_in_one_group_the_first_gets_the_trace(journal: SqliteJournal) -> None:
    """Requests that share a commit are treated as if they had come alone: one is kept, one gets the reason of its rejection."""

    async def run() -> list[BaseException | None]:
        committer = GroupCommitter(journal)
        with committer._wake:  # the writer waits until both are there
            both = [asyncio.ensure_future(committer.append(entry(name, 1), {})) for name in ("acme", "globex")]
            await asyncio.wait(both, timeout=0)
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        await asyncio.to_thread(committer.stop)
        return outcomes

    first, second = asyncio.run(run())
    assert first is None
    assert isinstance(second, ForeignTraces)
    assert second.trace_ids == {trace_id(1)}
    assert [item.tenant for item in journal.read(0, 10, 100)] == ["acme"]


@given(st.lists(st.tuples(st.sampled_from(["acme", "globex", ""]), st.sets(st.integers(1, 4), min_size=1)), max_size=8))
def test_owners_are_those_of_a_plain_model(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[str, set[int]]]
) -> None:
    """For any requests one after the other: refused are exactly the traces that an earlier one of another tenant had."""
    journal = SqliteJournal(tmp_path_factory.mktemp("journal") / "journal.db", 1 << 20)
    owners: dict[int, str] = {}
    for tenant, numbers in requests:
        expected = {trace_id(number) for number in numbers if owners.get(number, tenant) != tenant}
        (foreign,) = journal.foreign([entry(tenant, *numbers)])
        assert foreign == expected
        own = [number for number in numbers if trace_id(number) not in foreign]
        journal.append([entry(tenant, *own)])
        owners |= dict.fromkeys(own, tenant)
    journal.close()


def test_owners_are_forgotten_by_age_of_the_last_request(journal: SqliteJournal) -> None:
    """A trace that nobody added to is free again; one that still goes on keeps its owner."""
    journal.append([entry("acme", 1, 2, at=0.0)])
    journal.append([entry("acme", 2, at=5 * DAY)])
    journal.forget_owners(3 * DAY)
    assert journal.foreign([entry("globex", 1, 2)]) == [{trace_id(2)}]


@dataclass
class Clock:
    now: float = 1_700_000_100.0

    def __call__(self) -> float:
        return self.now


def test_each_tenant_has_its_own_experiments_in_mlflow(tmp_path: Path, journal: SqliteJournal) -> None:
    """With `{tenant}` in mlflow.experiment one service of two tenants is two experiments; without one `default`."""
    config, clock = (
        parse_config({"judges": [], "mlflow": {"experiment": "{tenant}/{service.name}"}}, CollectorConfig),
        Clock(),
    )
    store = new_store(tmp_path, config.mlflow.experiment)
    database = Database(tmp_path / "state.db")
    recorder = Recorder(config, database, TraceMetrics(CollectorRegistry()))
    pipeline = Pipeline(config, journal, store, Ledger(database), recorder, clock)
    for number, tenant in enumerate(("acme", "globex", ""), 1):
        trace = rag_trace(number, question="Q?", answer="A.", passages=["P."])
        payload = request(trace, "{tenant}" if tenant == "globex" else "shop").SerializeToString()
        journal.append([JournalEntry(signal="traces", payload=payload, received_at=clock.now, tenant=tenant)])
    pipeline.step()
    clock.now += 60
    while not pipeline.step():
        pass
    assert journal.pending() == (0, 0)
    names = [experiments_of(store, number) for number in (1, 2, 3)]
    assert names == ["acme/shop", "globex/{tenant}", "default/shop"]  # a service cannot name another tenant's


def experiments_of(store: Any, number: int) -> str:
    """Return the name of the experiment that a trace is stored in."""
    experiment_id = store._store.get_trace_info(f"tr-{trace_id(number).hex()}").experiment_id
    return store._store.get_experiment(experiment_id).name


def test_dead_letters_go_back_to_their_tenant(
    tmp_path: Path, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What MLflow refuses, or nobody can decode, is its tenant's still when it is replayed."""
    config, clock = parse_config({"judges": []}, CollectorConfig), Clock()
    store = new_store(tmp_path)
    monkeypatch.setattr(store, "save", lambda traces: {trace.trace_id: ValueError("refused") for trace in traces})
    database = Database(tmp_path / "state.db")
    recorder = Recorder(config, database, TraceMetrics(CollectorRegistry()))
    pipeline = Pipeline(config, journal, store, Ledger(database), recorder, clock)
    refused = request(rag_trace(1, question="Q?", answer="A.", passages=["P."])).SerializeToString()
    for payload in (refused, b"\xff\xff"):
        journal.append([JournalEntry(signal="traces", payload=payload, received_at=clock.now, tenant="acme")])
    box = DeadLetters(database)
    while box.count() < 2:
        pipeline.step()
        clock.now += 1
    letters = [found for row in box.summaries() if (found := box.get(row["id"]))]
    replay(letters, box, journal, clock)
    assert [item.tenant for item in journal.read(0, 10, 1 << 20)] == ["acme", "acme"]


def test_the_upkeep_forgets_owners_after_a_week(tmp_path: Path, journal: SqliteJournal) -> None:
    """The process that works prunes what the one that receives remembers."""
    config, clock = parse_config({"judges": []}, CollectorConfig), Clock()
    database = Database(tmp_path / "state.db")
    recorder = Recorder(config, database, TraceMetrics(CollectorRegistry()))
    pipeline = Pipeline(config, journal, new_store(tmp_path), Ledger(database), recorder, clock)
    journal.append([entry("acme", 1, at=clock.now - 8 * DAY), entry("acme", 2, at=clock.now - 6 * DAY)])
    journal.delete_done([1, 2])
    pipeline.step()
    assert journal.foreign([entry("globex", 1, 2)]) == [{trace_id(2)}]


def test_an_empty_request_claims_nothing(shared: Any) -> None:
    """It is acked and leaves no entry."""
    assert post(shared, ExportTraceServiceRequest().SerializeToString(), ACME) == b""
    assert kept(shared) == []
