"""The process that writes batches while the next ones are converted: same rows, and nothing hangs on its life."""

import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy
from mlflow.entities import Span

from qualitrace_collector.convert import ConvertedTrace
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.mlflow_store.writer_process import Writer, Writing, wait_until_written
from qualitrace_collector.pipeline import batch
from support.mlflow_db import converted, new_store, refuse_spans
from support.pipeline import Collector, rag
from support.waiting import eventually

STARTED = 120.0
pytestmark = pytest.mark.slow  # each test starts a process that imports mlflow


@pytest.fixture(scope="module")
def others_of_file() -> list[psutil.Process]:
    """Processes that other files' tests have started and not waited for."""
    return psutil.Process().children()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TraceStore:
    return new_store(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def writer(store: TraceStore, others_of_file: list[psutil.Process]) -> Generator[Writer]:
    """Share a process, which takes seconds to start; each test writes traces of its own."""
    made = Writer(store)
    yield made
    made.close()


def trace(number: int) -> ConvertedTrace:
    return converted(rag(number), "shop")


def begun(writer: Writer, *traces: ConvertedTrace) -> Writing:
    """Begin to write as soon as the process is up."""
    writing = eventually(lambda: writer.write(traces), STARTED)
    assert writing is not None
    return writing


@pytest.fixture
def others() -> list[psutil.Process]:
    """Processes that other tests have started and not waited for."""
    return psutil.Process().children()


def child_of(owner: psutil.Process, others: Sequence[psutil.Process] = ()) -> psutil.Process:
    """Return the process that writes, which multiprocessing starts beside its resource tracker."""
    children = [child for child in owner.children() if child not in others]
    (child,) = (child for child in children if "spawn_main" in " ".join(child.cmdline()))
    return child


def test_what_it_writes_is_stored(store: TraceStore, writer: Writer):
    """As if its owner had written it; known traces are returned and left alone."""
    assert wait_until_written(begun(writer, trace(1), trace(2))) == set()
    assert len(store.read(trace(2).trace_id)) == 3
    assert wait_until_written(begun(writer, trace(2), trace(3))) == {trace(2).trace_id}
    assert len(store.read(trace(3).trace_id)) == 3


def test_what_it_cannot_write_is_left_to_its_owner(store: TraceStore, writer: Writer):
    """With nothing of the batch written, and the process ready for the next."""
    odd = trace(11)
    odd.stored[0].data["start_time_unix_nano"] = 2**80
    assert wait_until_written(begun(writer, odd, trace(12))) is None
    assert store.read(trace(12).trace_id) == []
    assert wait_until_written(begun(writer, trace(13))) == set()


def test_tables_that_were_not_tested_are_not_written(store: TraceStore, writer: Writer):
    """Neither from the start, nor when MLflow is upgraded while the process runs."""
    begun(writer, trace(21)).result()
    with version_of_tables(store, "other"):
        assert wait_until_written(begun(writer, trace(22))) is None
        assert Writer(TraceStore(store.tracking_uri, store.artifact_uri, "x")).write([trace(22)]) is None


@contextmanager
def version_of_tables(store: TraceStore, version: str) -> Generator[None]:
    """Let MLflow's tables be of another version in the block."""

    def replace(version: str) -> str:
        with sqlalchemy.create_engine(store.tracking_uri).begin() as connection:
            before = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar_one()
            connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = :new"), {"new": version})
        return before

    before = replace(version)
    yield
    replace(before)


def test_a_tracking_server_needs_no_process(others: list[psutil.Process]):
    """It takes no rows: the process would cost memory for nothing."""
    assert Writer(TraceStore("http://127.0.0.1:9", "file:///unused", "x")).write([trace(1)]) is None
    assert [child for child in psutil.Process().children() if child not in others] == []


def test_closing_does_not_wait(store: TraceStore, writer: Writer, others_of_file: list[psutil.Process]):
    """A stop has a deadline, and the database may hold the process up: what it writes then is not written."""
    begun(writer, trace(31)).result()
    child = child_of(psutil.Process(), others_of_file)
    child.suspend()
    writing = begun(writer, trace(32))
    try:
        writer.close()
        child.wait(STARTED)
    finally:
        if child.is_running():
            child.kill()
    assert wait_until_written(writing) is None
    assert store.read(trace(32).trace_id) == []


def test_a_killed_process_costs_nothing(writer: Writer, others_of_file: list[psutil.Process]):
    """What it had is for its owner to write; another takes its place only a while later, not at each batch."""
    begun(writer, trace(41)).result()
    child = child_of(psutil.Process(), others_of_file)
    child.kill()
    eventually(lambda: _none_after_kill(writer))
    eventually(lambda: writer.write([trace(42)]) is None)
    assert not [item for item in psutil.Process().children() if item not in [*others_of_file, child, *_tracker()]]
    writer.stop_if_idle()
    assert wait_until_written(begun(writer, trace(43))) == set()


def _none_after_kill(writer: Writer) -> bool:
    """Whether the death was noticed: what is begun now is not written."""
    writing = writer.write([trace(42)])
    return writing is None or wait_until_written(writing) is None


def _tracker() -> list[psutil.Process]:
    """Return multiprocessing's resource tracker, which stays."""
    return [child for child in psutil.Process().children() if "resource_tracker" in " ".join(child.cmdline())]


def test_it_ends_when_it_is_not_needed(writer: Writer, others_of_file: list[psutil.Process]):
    """Its memory is given back after a while without a batch for it."""
    begun(writer, trace(51)).result()
    child = child_of(psutil.Process(), others_of_file)
    writer.stop_if_idle()
    assert child.is_running()
    writer.stop_if_idle()
    child.wait(STARTED)


def test_it_ends_with_its_owner(store: TraceStore, tmp_path: Path):
    """Even if the owner is killed: an orphan would hold a database that nobody watches."""
    script = (
        "import sys, time\n"
        "from qualitrace_collector.mlflow_store.store import TraceStore\n"
        "from qualitrace_collector.mlflow_store.writer_process import Writer\n"
        "if __name__ == '__main__':\n"
        "    writer = Writer(TraceStore(sys.argv[1], sys.argv[2], 'x'))\n"
        "    while writer.write([]) is None: time.sleep(0.05)\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(writer.write([]).result(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    path = tmp_path / "owner.py"
    path.write_text(script)
    command = [sys.executable, str(path), store.tracking_uri, store.artifact_uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdin
        assert owner.stdout.readline() == "up\n"
        child = child_of(psutil.Process(owner.pid))
        child.send_signal(signal.SIGTERM)  # a service manager sends it to the whole group
        child.send_signal(signal.SIGINT)
        owner.stdin.write("go on\n")
        owner.stdin.flush()
        assert owner.stdout.readline() == "set()\n"
        owner.kill()
    child.wait(STARTED)


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Collector]:
    """A collector of small batches with a writer that is up."""
    monkeypatch.setattr(batch, "BATCH_SPANS", 9)
    made = Collector(tmp_path, {"judges": []})
    made.writer = Writer(made.store)
    made.restart()
    begun(made.writer, trace(1)).result()
    yield made
    made.pipeline.close()


def test_what_hinders_the_next_batch_does_not_hold_up_this_one(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    """When MLflow goes away between the two, the first is recorded; the other waits until it is back."""
    collector.send(rag(1))
    collector.run()

    def away(trace_ids: Sequence[str]) -> dict[str, list[Span]]:
        if not trace_ids:
            return {}
        raise StoreUnavailable("down")

    with monkeypatch.context() as outage:
        outage.setattr(collector.store, "read_all", away)
        for number in (2, 3, 4, 1):
            collector.send(rag(number))
        collector.run()
        assert collector.totals() == {("", "stored"): 4}
        assert collector.journal.pending()[0] == 1
    collector.run(60)
    assert collector.stored(1) == 3
    assert collector.journal.pending() == (0, 0)


def test_a_backlog_comes_through_whole(others: list[psutil.Process], collector: Collector):
    """While it is up, and after its death: every trace is stored and counted once, the guilty one is a dead letter."""
    refuse_spans(collector.store.tracking_uri, trace(7).trace_id)
    for number in range(1, 61):
        collector.send(rag(number))
        if number == 40:
            collector.run(20)
            child_of(psutil.Process(), others).kill()
    collector.run(30)
    assert {collector.stored(number) for number in range(1, 61) if number != 7} == {3}
    assert collector.stored(7) == 0
    assert collector.totals() == {("", "stored"): 59, ("", "dead_lettered"): 1}
    assert collector.journal.pending() == (0, 0)
