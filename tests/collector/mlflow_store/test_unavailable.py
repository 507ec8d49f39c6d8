"""A lack of memory, disk or file descriptors makes no trace a bad one: it waits, and is stored in the end."""

import errno
import os
import resource
import sqlite3
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from qualitrace_collector.mlflow_store import unavailable
from qualitrace_collector.mlflow_store.unavailable import MAX_UNANSWERED, UnansweredCount, is_shortage
from qualitrace_collector.mlflow_store.writer_process import Writer
from support.mlflow_db import converted, new_store
from support.pipeline import Collector, rag

ATTEMPTS = 5
"""More than make a refused trace a dead letter."""

ERRNOS = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT]


def caused(error: Exception) -> Exception:
    """Wrap an error as MLflow's sessions do."""
    wrapped = MlflowException("cannot be written", BAD_REQUEST)
    wrapped.__cause__ = error
    return wrapped


SHORTAGES = [*(OSError(code, os.strerror(code)) for code in ERRNOS), MemoryError()]


@pytest.mark.parametrize("error", [*SHORTAGES, *map(caused, SHORTAGES)], ids=repr)
@pytest.mark.parametrize(
    "place", ["convert.trace._drafts", "convert.trace._converted", "mlflow_store.bulk_insert.insert_rows"]
)
def test_a_shortage_costs_no_trace(
    make: Callable[..., Collector], monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
):
    """However often it is met, in converting or storing."""
    collector = make(judges=[])
    met: list[int] = []

    def short(*_: object) -> None:
        met.append(1)
        raise error

    with monkeypatch.context() as shortage:
        shortage.setattr(f"qualitrace_collector.{place}", short)
        collector.send(rag(1))
        while len(met) < ATTEMPTS:
            collector.run(1)
    assert collector.totals() == {}
    collector.run(5)
    assert collector.stored(1) == 3
    assert collector.totals() == {("", "stored"): 1}
    assert collector.journal.pending() == (0, 0)


@contextmanager
def without_file_descriptors() -> Generator[None]:
    """Let this process open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def test_nothing_is_given_up_while_no_file_can_be_opened(make: Callable[..., Collector]):
    """The databases cannot be written then: all goes on where it was when files can be opened again."""
    collector = make(judges=[])
    collector.send(rag(4))
    collector.run()  # MLflow tries for minutes to open a database for the first time
    for number in range(1, 4):
        collector.send(rag(number))
    with without_file_descriptors():
        for _ in range(6):
            with suppress(Exception):  # as the loop does, which calls the step again
                collector.pipeline.step()
            collector.now += 2
    collector.run(5)
    assert [collector.stored(number) for number in range(1, 4)] == [3, 3, 3]
    assert collector.totals() == {("", "stored"): 4}
    assert collector.journal.pending() == (0, 0)


def test_the_writer_process_is_not_needed(tmp_path: Path):
    """Where no process can be started, the batch is for the owner to write."""
    writer = Writer(new_store(tmp_path))
    writer._store.takes_rows()
    with without_file_descriptors():
        assert writer.write([converted(rag(1), "shop")]) is None
    writer.close()


def test_a_full_disk_and_a_file_that_cannot_be_opened_are_known_from_sqlite(tmp_path: Path):
    """By SQLite's codes; an error of the statement or of the data is another thing."""
    with pytest.raises(sqlite3.OperationalError, match="unable to open database file") as closed:
        sqlite3.connect(tmp_path / "missing" / "file.db")
    with closing(sqlite3.connect(tmp_path / "file.db")) as database:
        database.execute("CREATE TABLE data (text UNIQUE)")
        database.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError, match="disk is full") as full:
            database.execute("INSERT INTO data VALUES (?)", ["x" * 100_000])
        with pytest.raises(sqlite3.OperationalError) as wrong:
            database.execute("SELECT nothing")
        database.execute("INSERT INTO data VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError) as twice:
            database.execute("INSERT INTO data VALUES (1)")
    assert is_shortage(full.value)
    assert is_shortage(caused(closed.value))
    assert not is_shortage(wrong.value)
    assert not is_shortage(caused(twice.value))
    assert not is_shortage(ValueError("too many open files"))


def test_what_gets_no_answer_is_given_up_only_while_others_get_one():
    """After `MAX_UNANSWERED` times; an answer, or an outage, begins the count anew."""
    count = UnansweredCount()
    assert not any(count.failed("a") for _ in range(3 * MAX_UNANSWERED))
    count.passed({"b"})
    assert [count.failed("a") for _ in range(MAX_UNANSWERED)] == [False] * (MAX_UNANSWERED - 1) + [True]
    for begin_anew in (lambda: count.passed({"a"}), count.start_over):
        count.failed("a")
        count.passed({"b"})
        assert not any(count.failed("a") for _ in range(MAX_UNANSWERED - 1))
        begin_anew()
        assert not count.failed("a")


def test_what_is_never_heard_of_again_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    """What failed longest ago is forgotten; what fails on is not, and is given up."""
    monkeypatch.setattr(unavailable, "MAX_UNANSWERED_KEYS", 3)
    count = UnansweredCount()
    assert not count.failed("a")
    count.passed({"other"})
    outcomes: list[bool] = []
    for number in range(MAX_UNANSWERED):
        assert not count.failed(f"gone {number}")
        outcomes.append(count.failed("a"))
        assert len(count._failures) <= 3
    assert outcomes == [False] * (MAX_UNANSWERED - 1) + [True]
