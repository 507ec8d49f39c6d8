"""A real PostgreSQL that cannot work now, or is silent: no trace is refused for it, and no call waits for ever."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.mlflow_store import postgres as patience
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from support.mlflow_db import converted
from support.otlp import rag_trace
from support.postgres import MlflowDatabases
from support.tcp_proxy import tcp_proxy
from support.waiting import eventually

pytestmark = pytest.mark.slow

ANSWER_SECONDS = 0.5


def trace(number: int) -> ConvertedTrace:
    return converted(rag_trace(number, question="Q?", answer="A.", passages=["P."]), "shop")


@pytest.fixture
def uri(postgres: MlflowDatabases) -> str:
    return postgres.new()


@pytest.fixture
def execute(uri: str) -> Iterator[Callable[[str], Sequence[Any]]]:
    """Execute a statement as the superuser."""
    with psycopg.connect(uri, autocommit=True) as connection:

        def execute(statement: str) -> Sequence[Any]:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else ()

        yield execute


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "ANSWER_SECONDS", ANSWER_SECONDS)
    monkeypatch.setattr(patience, "RESTED_SECONDS", ANSWER_SECONDS)


def end_sessions(execute: Callable[[str], Any]) -> None:
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    execute(f"SELECT pg_terminate_backend(pid) {others}")


@pytest.mark.parametrize(
    ("statement", "undone"),
    [
        ("ALTER DATABASE {} SET default_transaction_read_only = on", "ALTER DATABASE {} RESET ALL"),
        ("ALTER TABLE spans RENAME TO away", "ALTER TABLE away RENAME TO spans"),
        ("ALTER TABLE spans RENAME content TO away", "ALTER TABLE spans RENAME away TO content"),
        ("ALTER DATABASE {} SET statement_timeout = 1", "ALTER DATABASE {} RESET ALL"),
        ("ALTER DATABASE {} SET role = pg_read_all_data", "ALTER DATABASE {} RESET ALL"),
    ],
    ids=["read-only", "a table away", "a column away", "statement timeout", "no privileges"],
)
def test_a_database_that_cannot_work_now_refuses_no_trace(
    uri: str, execute: Callable[[str], Sequence[Any]], tmp_path: Path, statement: str, undone: str
):
    """Neither are any that come before it, or after; once it works again, all are stored."""
    store, name = TraceStore(uri, tmp_path.as_uri(), "{service.name}"), uri.rpartition("/")[2]
    assert store.save([trace(1)]) == {}
    execute(statement.format(name))
    end_sessions(execute)
    with pytest.raises(StoreUnavailable):
        store.save([trace(2), trace(3)])
    execute(undone.format(name))
    end_sessions(execute)
    assert store.save([trace(2), trace(3)]) == {}
    assert execute("SELECT count(*) FROM spans") == [(9,)]


def test_what_a_database_refuses_of_one_trace_is_that_trace_s_fault(
    uri: str, execute: Callable[[str], Sequence[Any]], tmp_path: Path
):
    """The others are stored."""
    store, bad = TraceStore(uri, tmp_path.as_uri(), "{service.name}"), trace(2)
    store.check()
    execute(f"ALTER TABLE spans ADD CHECK (trace_id <> '{bad.trace_id}')")
    assert set(store.save([trace(1), bad, trace(3)])) == {bad.trace_id}
    assert execute("SELECT count(DISTINCT trace_id) FROM spans") == [(2,)]


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_hangs_for_ever_is_replaced(uri: str, tmp_path: Path):
    """A proxy that forgot it still takes what is sent; a new connection gets through."""
    port = int(uri.rpartition(":")[2].partition("/")[0])
    with tcp_proxy(port) as proxy:
        store = TraceStore(uri.replace(str(port), str(proxy.port)), tmp_path.as_uri(), "{service.name}")
        assert store.save([trace(1)]) == {}
        proxy.abandon()
        stored = threading.Event()

        def store_again() -> None:
            eventually(lambda: stores(store, trace(2)))
            stored.set()

        threading.Thread(target=store_again, daemon=True).start()
        assert stored.wait(30)


def stores(store: TraceStore, item: ConvertedTrace) -> bool:
    with suppress(StoreUnavailable):
        return store.save([item]) == {}
    return False


@pytest.mark.usefixtures("impatient")
def test_what_waits_for_too_long_does_not_pile_up_at_the_server(
    uri: str, execute: Callable[[str], Sequence[Any]], tmp_path: Path
):
    """The caller hears of it, and the server drops the statement."""
    store = TraceStore(uri, tmp_path.as_uri(), "{service.name}")
    store.check()
    with psycopg.connect(uri) as holder:
        holder.execute("LOCK TABLE trace_info IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.5 s"):
            store.save([trace(1)])
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        eventually(lambda: execute(waiting) == [(0,)])
    assert store.save([trace(1)]) == {}
