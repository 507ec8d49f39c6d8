"""Two servers, each with a journal of its own, behind a load balancer that knows nothing of traces."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.entities import Trace, TraceState
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.failover import readiness
from support.otlp import rag_trace, request, trace_id
from support.postgres import Postgres, postgres_folder
from support.serving import Server
from support.waiting import eventually

TRACES = 60
SERVICES = 6
MOST_DEADLOCKS = 2
"""That two servers run into with twenty traces which both store at the same time."""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with postgres_folder() as folder:
        server = Postgres(folder).start()
        yield server
        server.stop()


@pytest.fixture
def pair(tmp_path: Path, postgres: Postgres) -> Iterator[tuple[Server, Server]]:
    """Start two servers at once on one PostgreSQL that has no tables yet."""
    servers: list[Server] = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        uri = f"{postgres.uri}postgres"
        servers.append(Server(tmp_path / name, mlflow={"tracking_uri": uri}, judges=[], assembly={"max_open": "3s"}))
    try:
        with ThreadPoolExecutor() as threads:
            one, other = threads.map(Server.start, servers)
        yield one, other
    finally:
        for server in servers:
            server.stop()


def halves(number: int) -> tuple[list[Span], list[Span]]:
    """Split a trace in two: of every other trace the first half has the root, and the model's call comes twice."""
    root, retriever, chat = rag_trace(number, question="Q?", answer="A.", passages=["P."])
    return ([root, chat], [retriever, chat]) if number % 2 else ([retriever], [root, chat])


def send(pair: tuple[Server, Server], numbers: Sequence[int]) -> None:
    """Send one half of each trace to each server, at the same time."""

    def send(which: int) -> None:
        for number in numbers:
            body = request(halves(number)[which], f"service-{number % SERVICES}").SerializeToString()
            assert pair[which].send(body).status_code == 200

    with ThreadPoolExecutor() as threads:
        list(threads.map(send, range(2)))


def test_two_collectors_lose_and_double_nothing(pair: tuple[Server, Server], postgres: Postgres):
    """Every trace has its three spans, one state and one sum of tokens, and every service one experiment.

    That holds over a crash of PostgreSQL, and while it can only be read, as a standby; `make failover` is the long form.
    """
    numbers = range(1, TRACES + 1)
    send(pair, numbers[: TRACES // 3])
    for server in pair:
        eventually(lambda server=server: server.sample("qualitrace_journal_backlog_requests") == 0, timeout=120)
    assert deadlocks(postgres) <= MOST_DEADLOCKS
    postgres.stop("immediate")
    postgres.start()
    send(pair, numbers[TRACES // 3 : TRACES * 2 // 3])
    postgres.configure(default_transaction_read_only="on")
    send(pair, numbers[TRACES * 2 // 3 :])
    for server in pair:
        eventually(lambda server=server: readiness(server)[1].get("mlflow") == "it cannot be written", timeout=60)
        assert readiness(server)[0] == 200
    postgres.configure(default_transaction_read_only="off")
    for server in pair:
        eventually(lambda server=server: server.sample("qualitrace_journal_backlog_requests") == 0, timeout=120)
        assert server.sample("qualitrace_dead_letters") == 0

    store = SqlAlchemyStore(f"{postgres.uri}postgres", (pair[0].folder / "artifacts").as_uri())
    found: dict[str, Trace] = {}
    for start in range(0, TRACES, 20):
        ids = [f"tr-{trace_id(number).hex()}" for number in numbers[start : start + 20]]
        found |= {trace.info.trace_id: trace for trace in store.batch_get_traces(ids)}
    assert len(found) == TRACES
    for trace in found.values():
        assert sorted(int(span.span_id, 16) for span in trace.data.spans) == [1, 2, 3]
        assert trace.info.state == TraceState.OK
        assert trace.info.token_usage == {"input_tokens": 14, "output_tokens": 8, "total_tokens": 22}
    names = [experiment.name for experiment in store.search_experiments()]
    assert sorted(names) == ["Default", *(f"service-{number}" for number in range(SERVICES))]
    store.engine.dispose()


def deadlocks(postgres: Postgres) -> int:
    ((broken,),) = postgres.execute("SELECT sum(deadlocks)::int FROM pg_stat_database")
    return broken
