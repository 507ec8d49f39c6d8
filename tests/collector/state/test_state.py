"""The state database: the ledger adds up, the queue keeps each task once."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qualitrace_collector.sample import Message, Sample, ToolCall
from qualitrace_collector.state import (
    Count,
    Counted,
    CoverageTotals,
    Database,
    JudgeQueue,
    JudgeTask,
    Ledger,
    StateError,
    TraceRecord,
    UnfinishedTrace,
    queue,
)
from qualitrace_collector.state.coverage import Coverage, Source, joined
from qualitrace_collector.state.services import ServiceNames


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "state.db")


def task(trace: str = "tr-1", judge: str = "relevance", answer: str = "A.", at: float = 100.0) -> JudgeTask:
    return JudgeTask(
        trace_id=trace,
        judge=judge,
        service="shop",
        sample=Sample(inputs="Q?", outputs=answer),
        inclusion_probability=0.5,
        root_ended_at=at - 2,
        completed_at=at,
    )


def put(database: Database, *tasks: JudgeTask) -> None:
    with database.transaction() as connection:
        for item in tasks:
            JudgeQueue.put(connection, item)


def finish(database: Database, item: JudgeTask, outcome: queue.JudgementOutcome) -> bool:
    with database.transaction() as connection:
        return JudgeQueue.finish(connection, item, outcome)


def totals(database: Database) -> dict[tuple[str, str], int]:
    return {(row["judge"], row["outcome"]): row["total"] for row in Ledger(database).totals()}


def test_a_trace_has_one_outcome_even_when_recorded_again(database: Database):
    """Replaying the journal counts nothing twice; a changed outcome moves the count."""
    with database.transaction() as connection:
        Ledger.record_traces(connection, [TraceRecord("tr-1", "shop", "not_genai", True)], 1.0)
        Ledger.record_traces(connection, [TraceRecord("tr-1", "shop", "not_genai", True)], 2.0)
        Ledger.record_traces(connection, [TraceRecord("tr-1", "shop", "stored", True)], 3.0)
        Ledger.record_traces(connection, [TraceRecord("tr-1", "shop", "not_genai", True)], 4.0)
    assert totals(database) == {("", "stored"): 1}


def test_what_is_withdrawn_waits_at_no_stage(database: Database):
    """Neither for the judge nor for its model, and the answer of one that was being asked is not taken."""
    first, second = task(judge="relevance"), task(judge="relevance/llm")
    put(database, first, second, task(judge="relevance2"), task("tr-2"))
    assert finish(database, first, "scored")
    with database.transaction() as connection:
        assert JudgeQueue.withdraw(connection, "tr-1", "relevance")
        assert not JudgeQueue.withdraw(connection, "tr-1", "relevance")
    assert not finish(database, second, "scored")
    assert totals(database) == {
        ("relevance", "scored"): 1,
        ("relevance/llm", "not_matched"): 1,
        ("relevance2", "queued"): 1,
        ("relevance", "queued"): 1,
    }
    put(database, second)
    assert totals(database)["relevance/llm", "queued"] == 1


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(
            st.builds(
                TraceRecord,
                st.sampled_from(["tr-1", "tr-2", "tr-3"]),
                st.just("shop"),
                st.sampled_from(["stored", "not_genai", "dead_lettered"]),
                st.booleans(),
            ),
            max_size=5,
        ),
        max_size=4,
    )
)
def test_many_outcomes_at_once_count_as_one_by_one(tmp_path_factory, batches: list[list[TraceRecord]]):
    """Whatever comes in a batch, twice even, rows and totals are those of single records."""
    once, each = (Database(tmp_path_factory.mktemp("ledger") / "state.db") for _ in range(2))
    for now, batch in enumerate(batches):
        with once.transaction() as connection:
            Ledger.record_traces(connection, batch, float(now))
        with each.transaction() as connection:
            for record in batch:
                Ledger.record_traces(connection, [record], float(now))
    for table in ("trace", "ledger"):
        rows = [
            [tuple(row) for row in database.connection().execute(f"SELECT * FROM {table}")] for database in (once, each)
        ]
        assert rows[0] == rows[1]


def test_a_task_is_leased_once_until_the_lease_ends(database: Database):
    """Two workers never judge the same task at once; a dead worker's task comes back."""
    put(database, task())
    tasks = JudgeQueue(database)
    (first,) = tasks.lease(10, now=100.0, lease_seconds=60, judges=["relevance"])
    assert first == JudgeTask(**{**{name: getattr(task(), name) for name in JudgeTask.__slots__}, "attempts": 1})
    assert tasks.lease(10, now=159.0, lease_seconds=60, judges=["relevance"]) == []
    (again,) = tasks.lease(10, now=160.0, lease_seconds=60, judges=["relevance"])
    assert again.attempts == 2


def test_a_restarted_worker_takes_over_at_once(database: Database):
    """After release_all no lease of a dead process holds a task back."""
    put(database, task())
    tasks = JudgeQueue(database)
    tasks.lease(10, now=100.0, lease_seconds=1000, judges=["relevance"])
    tasks.release_all()
    assert len(tasks.lease(10, now=101.0, lease_seconds=60, judges=["relevance"])) == 1


def test_only_the_asked_judges_tasks_are_leased(database: Database):
    """Local and LLM workers share a queue."""
    put(database, task(judge="relevance"), task(judge="toxicity"))
    leased = JudgeQueue(database).lease(10, now=100.0, lease_seconds=60, judges=["toxicity"])
    assert [item.judge for item in leased] == ["toxicity"]


def test_a_finished_task_is_not_queued_again_by_a_replay(database: Database):
    """The same trace with the same content, put again after a crash, stays finished and counts once."""
    put(database, task())
    assert finish(database, task(), "scored")
    assert not finish(database, task(), "scored")
    put(database, task())
    assert JudgeQueue(database).waiting() == 0
    assert totals(database) == {("relevance", "scored"): 1}


def test_changed_content_is_judged_again(database: Database):
    """A late span that changes the sample queues it anew; the outcome moves, it is not added."""
    put(database, task())
    finish(database, task(), "not_applicable")
    put(database, task(answer="Better."))
    assert totals(database) == {("relevance", "queued"): 1}
    assert not finish(database, task(), "scored"), "the verdict on the old content must not count"
    assert finish(database, task(answer="Better."), "scored")
    assert totals(database) == {("relevance", "scored"): 1}


def test_a_postponed_task_comes_back_when_it_is_due(database: Database):
    """A busy provider's task waits, and is not lost."""
    put(database, task())
    tasks = JudgeQueue(database)
    (leased,) = tasks.lease(10, now=100.0, lease_seconds=60, judges=["relevance"])
    with database.transaction() as connection:
        JudgeQueue.postpone(connection, leased, until=130.0)
    assert tasks.lease(10, now=129.0, lease_seconds=60, judges=["relevance"]) == []
    assert len(tasks.lease(10, now=130.0, lease_seconds=60, judges=["relevance"])) == 1


def test_pruning_keeps_the_totals(database: Database):
    """Old rows go, the ledger's counts stay; what still waits, for a judge that is gone, has expired."""
    put(database, task("tr-1"), task("tr-2"))
    finish(database, task("tr-1"), "scored")
    with database.transaction() as connection:
        Ledger.record_traces(connection, [TraceRecord("tr-1", "shop", "stored", True)], 100.0)
        JudgeQueue.prune(connection, older_than=1000.0)
        Ledger.prune(connection, older_than=1000.0)
    assert totals(database) == {("", "stored"): 1, ("relevance", "scored"): 1, ("relevance", "expired"): 1}
    assert JudgeQueue(database).waiting() == 0
    assert Ledger(database).known_traces(["tr-1"]) == {}


def test_a_finished_task_keeps_no_copy_of_the_content(database: Database):
    """Prompts and answers lie in MLflow; the row that proves the judgement needs their hash alone."""
    put(database, task())
    finish(database, task(), "scored")
    row = database.connection().execute("SELECT sample, content_hash FROM judgement").fetchone()
    assert (row["sample"], row["content_hash"]) == ("", task().sample.content_hash)


def test_the_file_is_private(database: Database):
    """Also in a folder that others may enter."""
    assert database.path.stat().st_mode & 0o077 == 0


def test_only_stored_traces_wait_for_a_root(database: Database):
    """What was given up or not kept is not asked for in MLflow each minute."""
    with database.transaction() as connection:
        for trace, outcome in (("tr-1", "stored"), ("tr-2", "dead_lettered"), ("tr-3", "not_genai")):
            Ledger.record_traces(connection, [TraceRecord(trace, "shop", outcome, False)], 100.0)
    assert [trace.trace_id for trace in Ledger(database).unfinished(older_than=1000.0)] == ["tr-1"]


def test_silent_traces_are_those_without_a_span_since(database: Database):
    """The oldest first; a further span puts a trace off, an older one that is replayed does not bring it back."""
    with database.transaction() as connection:
        for number, last_span_at in ((1, 50.0), (2, 40.0), (3, 60.0), (4, 10.0), (2, 45.0), (2, 30.0)):
            Ledger.record_traces(connection, [TraceRecord(f"tr-{number}", "shop", "stored", number == 4)], 1.0)
            Ledger.put_unfinished(
                connection, f"tr-{number}", last_span_at, "ot=th:8" if last_span_at == 40.0 else "", {}
            )
    silent = [UnfinishedTrace("tr-2", "shop", "ot=th:8"), UnfinishedTrace("tr-1", "shop", "")]
    assert Ledger(database).silent(since=50.0) == silent
    with database.transaction() as connection:
        Ledger.end(connection, ["tr-2"])
    assert Ledger(database).silent(since=50.0) == silent[1:]


def test_what_was_counted_is_forgotten_after_a_while(database: Database):
    """With the row of its trace: what comes later counts nothing."""
    count = Count({(Source("shop", "app", "none"), "input"): True}, {"m": {"input": 3}}, 2)
    with database.transaction() as connection:
        Counted.put(connection, {"tr-1": count}, 100.0)
        Counted.put(connection, {"tr-2": count}, 200.0)
        Counted.prune(connection, older_than=150.0)
        assert Counted.of(connection, ["tr-1", "tr-2"]) == {"tr-2": count}


def test_coverage_grows_by_what_was_found_since(database: Database):
    """Another source's late find counts for the one that lacked it; what is new counts for its own source."""
    app, other = Source("shop", "app", "none"), Source("shop", "other", "none")
    before: Coverage = {(app, "input"): False, (app, "session"): True}
    now = joined(before, {(other, "input"): True, (app, "session"): False, (other, "documents"): False})
    assert now == {(app, "input"): True, (app, "session"): True, (other, "documents"): False}
    with database.transaction() as connection:
        CoverageTotals.change(connection, [({}, before)])
        CoverageTotals.change(connection, [(before, now), (now, now)])
    rows = {(row["scope"], row["content"]): row for row in CoverageTotals(database).totals()}
    assert {key: (row["traces"], row["lacking"], row["lacked"]) for key, row in rows.items()} == {
        ("app", "input"): (1, 0, 1),
        ("app", "session"): (1, 0, 0),
        ("other", "documents"): (1, 1, 1),
    }


def test_a_failed_transaction_leaves_nothing(database: Database):
    """All or nothing, also for Python errors inside the block."""

    def broken() -> None:
        with database.transaction() as connection:
            Ledger.add(connection, "shop", "stored")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        broken()
    assert totals(database) == {}


def test_tables_of_another_version_are_refused(database: Database):
    """A newer qualitrace's file is not written into by an older one."""
    database.connection().execute("PRAGMA user_version = 999")
    with pytest.raises(
        StateError, match=r"state.*tables of version 999.*restore a backup from before, or set data_dir"
    ):
        Database(database.path)


def test_tables_of_an_earlier_version_are_migrated(database: Database):
    """Scores and their sums stay, with nothing where a column is new; the hours' sums are made of the minutes'."""
    connection = database.connection()
    connection.execute("ALTER TABLE trace DROP COLUMN not_matched")
    connection.execute("ALTER TABLE judgement DROP COLUMN rate")
    connection.execute("ALTER TABLE counted DROP COLUMN calls")
    connection.execute("INSERT INTO counted VALUES ('tr-1', '[]', '{}', 1)")
    for table in ("score_hour", "score_day", "score_bin", "pair_hour", "request_minute"):
        connection.execute(f"DROP TABLE {table}")
    for index in ("score_session", "score_session_began", "answer_of_service"):
        connection.execute(f"DROP INDEX {index}")
    for table, columns in (
        ("score", "session route release environment retriever least_probability session_began weight first cascade"),
        ("score_minute", "passed_w2 not_failed_w2 unsure_w2 heaviest"),
        ("answer", "service passages passed seconds size"),
    ):
        for column in columns.split():
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute("ALTER TABLE score_minute ADD COLUMN value_2 REAL NOT NULL DEFAULT 0")
    connection.execute("PRAGMA user_version = 2")
    columns = [row["name"] for row in connection.execute("PRAGMA table_info(score)")]
    connection.execute(f"INSERT INTO score VALUES ({', '.join(map(repr, columns))})")
    connection.execute("UPDATE score SET inclusion_probability = 0.25, value = 0.96, completed_at = 7300")
    connection.execute("INSERT INTO answer VALUES ('trace_id', 'Wo?', 'Hier, né.', 0)")
    for minute in (60, 61, 120):
        values = ", ".join(["2"] * 9)
        connection.execute(f"INSERT INTO score_minute VALUES ({minute}, 'j', 't', 's', {values}, 1, 1, 0)")
    migrated = Database(database.path)
    (row,) = migrated.rows("SELECT * FROM score")
    assert (row["trace_id"], row["session"], row["weight"]) == ("trace_id", "", None)
    assert Counted.of(migrated.connection(), ["tr-1"])["tr-1"].calls > 1e6  # so that no late span adds a call
    (row,) = migrated.rows("SELECT service, passages, passed, size FROM answer")
    assert tuple(row) == ("service", "[]", 0, 13)
    hours = migrated.rows("SELECT hour, samples, passed_w2, unsure_w2, heaviest FROM score_hour ORDER BY hour")
    assert [tuple(row) for row in hours] == [(1, 4, 4, 0, 1), (2, 2, 2, 0, 1)]
    days = Database(database.path).rows("SELECT day, samples, passed_w2, unsure_w2, heaviest FROM score_day")
    assert [tuple(row) for row in days] == [(0, 6, 6, 0, 1)]
    bins = migrated.rows("SELECT hour, bin_0, bin_18, bin_19 FROM score_bin")
    assert [tuple(row) for row in bins] == [(2, 0, 0, 4)]


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    """A clear error at start, not a crash later."""
    path = tmp_path / "state.db"
    path.write_text("this is no database, and long enough to be looked at as one by SQLite " * 20)
    with pytest.raises(StateError, match=r"state\.db"):
        Database(path)


TEXT = st.text() | st.just("\ud83d")


@given(TEXT, TEXT, st.lists(TEXT, max_size=3), st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=2))
@settings(max_examples=50)
def test_a_sample_survives_its_json(inputs: str, outputs: str, passages: list[str], calls: list[tuple[str, str, str]]):
    """What was queued is what is judged, and its hash does not depend on metadata."""
    sample = Sample(
        inputs=inputs,
        outputs=outputs,
        passages=tuple(passages),
        conversation=(Message(role="user", content=inputs),),
        tool_calls=tuple(ToolCall(name=a, arguments=b, result=c) for a, b, c in calls),
        metadata={"service": outputs},
    )
    assert Sample.from_json(sample.to_json()) == sample
    other = Sample.from_json(sample.to_json().replace('"metadata":{"service"', '"metadata":{"x"'))
    assert other.content_hash == sample.content_hash


def test_a_database_that_is_damaged_later_is_named(tmp_path: Path):
    """Reading and writing say which file it is and what to do, not only that an image is malformed."""
    path = tmp_path / "state.db"
    database = Database(path)
    with database.transaction() as connection:
        connection.executemany(
            "INSERT INTO verdict VALUES (?, ?, 0)", [(f"{number:04}", "x" * 500) for number in range(2000)]
        )
    database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    pages = path.read_bytes()
    path.write_bytes(pages[: len(pages) // 2] + b"\xff" * (len(pages) - len(pages) // 2))
    database = Database(path)
    with pytest.raises(StateError, match=r"state\.db: is damaged: .* move it away"):
        database.rows("SELECT * FROM verdict")
    with (
        pytest.raises(StateError, match=r"state\.db: is damaged: .* move it away"),
        database.transaction() as connection,
    ):
        connection.execute("DELETE FROM verdict")


def test_a_service_is_not_forgotten_by_a_transaction_that_fails(database: Database):
    """It is given up, and its totals go to `other`, when the database takes that."""
    names = ServiceNames(database, limit=10, keep_seconds=60)
    names.bound("old", "", 0.0)
    with database.transaction() as connection:
        Ledger.add(connection, "old", "stored")
    connection = database.connection()
    connection.execute("CREATE TRIGGER full BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.DatabaseError, match="full"):
        names.forget_unseen(100.0)
    connection.execute("DROP TRIGGER full")
    assert names.forget_unseen(100.0) == {"old"}
    assert [(row["service"], row["total"]) for row in Ledger(database).totals()] == [("other", 1)]
