"""What `/readyz` reports: whether OTLP can be acked, and which other component does not do its work."""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from qualitrace_collector.journal import JournalEntry, JournalUnavailable, SqliteJournal, sqlite
from qualitrace_collector.mlflow_store import connection
from qualitrace_collector.mlflow_store.store import StoreUnavailable, TraceStore
from qualitrace_collector.process import loop
from qualitrace_collector.process.loop import Loop
from qualitrace_collector.state import database
from qualitrace_monitors.server.health import Health
from qualitrace_monitors.server.probes import (
    ACK_SECONDS,
    LOCKED_SECONDS,
    REMINDER_SECONDS,
    SILENCE_SECONDS,
    AckProbe,
    MlflowProbe,
    StateProbe,
)
from support.mlflow_db import new_database
from support.waiting import eventually


class Clock:
    """Seconds that pass only by `now +=`."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    opened = SqliteJournal(tmp_path / "journal.db", 10_000)
    yield opened
    opened.close()


class TestState:
    """Whether the state database can be written."""

    @pytest.mark.parametrize("reason", ["locked", "read-only"])
    def test_what_keeps_it_from_being_written_is_named_while_it_does(
        self, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, reason: str
    ) -> None:
        """Not before it has lasted longer than a transaction takes."""
        monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.05)
        state = database.Database(tmp_path / "state.db")
        probe = StateProbe(state, clock)
        holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        if reason == "locked":
            holder.execute("BEGIN IMMEDIATE")
        else:
            state.connection().execute("PRAGMA query_only = 1")
        clock.now += LOCKED_SECONDS - 1
        probe.look()
        assert probe.problem() == ""
        clock.now += 2
        probe.look()
        assert probe.problem().endswith(f"{LOCKED_SECONDS + 1:.0f} s now")
        assert probe.lasted() == LOCKED_SECONDS + 1
        assert ("locked" if reason == "locked" else "readonly") in probe.problem()
        holder.rollback()
        state.connection().execute("PRAGMA query_only = 0")
        probe.look()
        assert probe.problem() == ""
        holder.close()
        state.close()


class TestAcks:
    @pytest.fixture
    def probe(self, journal: SqliteJournal, clock: Clock) -> AckProbe:
        """Provide a probe that has seen the first proof."""
        probe = AckProbe(journal, clock)
        probe.look()
        assert probe.problem().startswith("starting")
        journal.prove(0)
        probe.look()
        assert probe.problem() == ""
        return probe

    def test_proofs_of_an_earlier_run_do_not_count(self, journal: SqliteJournal, clock: Clock) -> None:
        """At the start nothing is known until something is made durable now."""
        journal.prove(0)
        probe = AckProbe(journal, clock)
        probe.look()
        assert probe.problem().startswith("starting")

    def test_without_new_proofs_nothing_can_be_acked(
        self, probe: AckProbe, journal: SqliteJournal, clock: Clock
    ) -> None:
        """The receive process is dead or hangs, or its disk takes nothing; with the next proof all is well."""
        clock.now += ACK_SECONDS
        probe.look()
        assert probe.problem() == f"no request could be made durable for {ACK_SECONDS:.0f} s: see the log"
        journal.prove(0)
        probe.look()
        assert probe.problem() == ""

    def test_requests_are_proofs(self, probe: AckProbe, journal: SqliteJournal, clock: Clock) -> None:
        """Under load, when a proof has to wait, the requests themselves show that they are taken."""
        clock.now += ACK_SECONDS
        journal.append([], {("requests_received", "http"): 1})  # everything in it was rejected
        probe.look()
        assert probe.problem() != ""
        journal.append([JournalEntry(signal="traces", payload=b"x", received_at=1)], {("spans_received", "http"): 1})
        probe.look()
        assert probe.problem() == ""

    def test_a_full_journal_proves_nothing(self, journal: SqliteJournal) -> None:
        """Neither when there is no room at all, nor when there is none for a request as large as the one refused."""
        journal.append([JournalEntry(signal="traces", payload=b"x" * 9_000, received_at=1)])
        journal.prove(1_000)
        before = journal.proofs()
        with pytest.raises(Exception, match=r"holds journal\.max_size"):
            journal.prove(1_001)
        journal.append([JournalEntry(signal="traces", payload=b"x" * 1_000, received_at=1)])
        with pytest.raises(Exception, match=r"holds journal\.max_size"):
            journal.prove(0)
        assert journal.proofs() == before

    def test_a_full_disk_proves_nothing(self, journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
        """Although a small commit finds room in the files that there are."""
        disk = os.statvfs(journal.path.parent)
        monkeypatch.setattr(sqlite, "MIN_FREE_BYTES", disk.f_frsize * disk.f_blocks + 1)
        with pytest.raises(JournalUnavailable, match="bytes left; make room"):
            journal.prove(0)

    def test_a_folder_that_cannot_be_read_proves_nothing(self, journal: SqliteJournal) -> None:
        """It is the journal's error like any other, so proofs go on once the folder is back."""
        folder = journal.path.parent
        away = folder.rename(folder.with_name("away"))
        with pytest.raises(JournalUnavailable, match="No such file"):
            journal.prove(0)
        away.rename(folder)
        journal.prove(0)

    def test_what_a_proof_left_when_its_process_died_is_taken_away(self, journal: SqliteJournal) -> None:
        """Megabytes of padding would stay among the counters, which are read at each scrape."""
        with sqlite3.connect(journal.path) as connection:
            connection.execute("INSERT INTO counter VALUES ('padding', ?, 0)", (" " * 1_000,))
        journal.prove(0)
        assert [name for name, _ in journal.counters()] == ["proofs"]


class TestMlflow:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        new_database(tmp_path)
        return tmp_path / "mlflow.db"

    @pytest.fixture
    def probe(self, database: Path, clock: Clock) -> MlflowProbe:
        store = TraceStore(f"sqlite:///{database}", (database.parent / "artifacts").as_uri(), "{service.name}")
        return MlflowProbe(store, database.parent / "mlflow.lock", clock)

    def test_a_look_leaves_a_database_as_it_was(
        self, probe: MlflowProbe, database: Path, caplog: pytest.LogCaptureFixture
    ):
        """It may be written, which is tried and taken back; a start without trouble logs nothing."""
        caplog.set_level(logging.INFO, "qualitrace_monitors")
        probe.look()
        assert (probe.problem(), probe.answered) == ("", True)
        with sqlalchemy.create_engine(f"sqlite:///{database}").connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT count(*) FROM experiment_tags")).scalar() == 0
        assert caplog.messages == []

    def test_a_database_that_cannot_be_written_is_a_problem(
        self, probe: MlflowProbe, monkeypatch: pytest.MonkeyPatch, database: Path
    ):
        """It answers all the same: SQLite opens it for reading only, as it does with a file that others own."""
        read_only = SqlAlchemyStore(f"sqlite:///{database}", database.parent.as_uri())
        read_only.engine = sqlalchemy.create_engine(f"sqlite:///file:{database}?mode=ro&uri=true")
        monkeypatch.setattr(connection, "mlflow_store", lambda *_: read_only)
        probe.look()
        assert probe.problem() == "it cannot be written"

    def test_an_outage_is_logged_once_a_minute_and_so_is_its_end(
        self, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        """Who starts the server with a wrong address reads at once why it is not ready, and again later."""
        answers = iter([StoreUnavailable("http://mlflow:5000: connection refused")] * 4)

        class Store:
            wrote_at = 0.0

            def check(self) -> None:
                if error := next(answers, None):
                    raise error

            def check_writable(self) -> None:
                pass

        probe = MlflowProbe(Store(), tmp_path / "lock", clock)  # type: ignore[arg-type]
        for seconds in (0, 1, 1, REMINDER_SECONDS):
            clock.now += seconds
            probe.look()
            assert probe.problem() == "it does not answer"
        assert probe.lasted() == REMINDER_SECONDS + 2  # since the first question, not the last
        probe.look()
        assert (probe.problem(), probe.lasted()) == ("", 0)
        away = "MLflow is not available: http://mlflow:5000: connection refused; waiting for it"
        assert caplog.messages == [away, away, "MLflow is available again"]

    def test_silence_is_named_while_it_lasts(self, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        """A server that takes a connection and never answers is in the log within seconds, without its password."""
        go_on = threading.Event()

        class Store:
            wrote_at = 1e9
            shown_uri = "http://mlflow:5000"

            def check(self) -> None:
                go_on.wait()

        probe = MlflowProbe(Store(), tmp_path / "lock", clock)  # type: ignore[arg-type]
        thread = threading.Thread(target=probe.look)
        thread.start()
        try:
            eventually(lambda: probe.silence() == 0.0 and probe._asked_at is not None)
            probe.remind()
            clock.now += SILENCE_SECONDS + 1
            probe.remind()
            probe.remind()
            assert caplog.messages == ["waiting for MLflow for 5 s now: http://mlflow:5000"]
            clock.now += 10
            assert probe.problem() == "it does not answer for 15 s"
        finally:
            go_on.set()
            thread.join()
        assert probe.problem() == ""


class TestLoops:
    @pytest.fixture
    def go_on(self) -> threading.Event:
        return threading.Event()

    def test_a_loop_says_when_it_stands_still(self, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
        """One step that does not end is a problem after a while, and none once it has ended."""
        monkeypatch.setattr(loop, "STANDSTILL_SECONDS", 0.1)
        storing = Loop("storing", lambda: 60.0 if go_on.wait(30) else 0.0)
        assert storing.problem() == "it is not running"
        storing.start()
        eventually(lambda: storing.problem() == "it stands still for 0 s")
        go_on.set()
        eventually(lambda: storing.problem() == "")
        storing.stop(10)

    def test_a_loop_says_when_it_fails(self, go_on: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
        """As long as its steps raise."""
        monkeypatch.setattr(loop, "RETRY_SECONDS", 0.01)

        def step() -> float:
            if not go_on.is_set():
                raise OSError("no space left")
            return 60.0

        storing = Loop("storing", step)
        storing.start()
        eventually(lambda: storing.problem() == "it fails: see the log")
        go_on.set()
        eventually(lambda: storing.problem() == "")
        storing.stop(10)


def test_a_stopping_server_is_not_ready() -> None:
    """Senders go elsewhere while it finishes; a monitor alone takes nothing from them."""
    for component, ready in (("otlp", False), ("alerts", True)):
        health = Health()
        health.add(component, lambda: "")
        assert health.report()[0]
        health.stopping = True
        assert health.report()[0] is ready
        assert health.report()[1]["pid"] == os.getpid()
