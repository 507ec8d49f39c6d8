"""The path both doors share: what is under way at a stop, and what the log says of a failing journal."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from qualitrace_collector.journal import GroupCommitter, JournalEntry, SqliteJournal
from qualitrace_collector.receive.decode import PROTOBUF
from qualitrace_collector.receive.errors import Unavailable
from qualitrace_collector.receive.intake import Intake
from qualitrace_collector.receive.signals import TRACES

MakeRequest = Callable[..., ExportTraceServiceRequest]


def test_requests_under_way_are_finished_at_stop_and_later_ones_refused(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    """What waits for the disk when the stop comes is still acked; what comes after is asked to come back."""
    journal = SqliteJournal(tmp_path / "journal.db", 1 << 20)
    request = make_request()
    payload = request.SerializeToString()

    async def run() -> None:
        committer = GroupCommitter(journal)
        intake = Intake(committer, lambda: 77.5)
        early = asyncio.create_task(intake.accept(TRACES, PROTOBUF, payload, "http"))
        await asyncio.wait([early], timeout=0)
        intake.stop()
        with pytest.raises(Unavailable, match="stopping") as caught:
            await intake.accept(TRACES, PROTOBUF, payload, "http")
        intake.count_refusal(caught.value)
        await early
        await asyncio.to_thread(committer.stop)

    asyncio.run(run())
    assert journal.read(0, 10, 1000) == [JournalEntry(position=1, signal="traces", payload=payload, received_at=77.5)]
    assert journal.counters()["requests_refused", "stopping"] == 1
    journal.close()


def test_a_journal_that_fails_is_logged_once_until_it_works_again(
    tmp_path: Path, make_request: MakeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten refusals for one reason make one line in the log, and the recovery another."""
    caplog.set_level(logging.INFO)
    journal = SqliteJournal(tmp_path / "journal.db", 1000)
    large, small = make_request(size=1000), make_request()

    async def run() -> None:
        committer = GroupCommitter(journal)
        intake = Intake(committer, lambda: 1.0)
        for _ in range(10):
            with pytest.raises(Unavailable, match="journal is full; try again"):
                await intake.accept(TRACES, PROTOBUF, large.SerializeToString(), "grpc")
        for _ in range(2):
            await intake.accept(TRACES, PROTOBUF, small.SerializeToString(), "grpc")
        await asyncio.to_thread(committer.stop)

    asyncio.run(run())
    refusing, taking = (record.getMessage() for record in caplog.records if "requests" in record.getMessage())
    assert refusing.startswith("refusing requests: ")
    assert "journal.max_size" in refusing
    assert taking == "taking requests again"
    journal.close()


def test_a_large_request_that_comes_again_counts_once(
    tmp_path: Path, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes several entries: when the journal takes the first ones alone, the client sends all of them again."""
    monkeypatch.setattr("qualitrace_collector.receive.checked_request.ENTRY_BYTES", 1000)
    journal = SqliteJournal(tmp_path / "journal.db", 3000)
    request = make_request(spans=5, size=500)
    request.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano = 1
    payload = request.SerializeToString()

    async def run() -> None:
        committer = GroupCommitter(journal)
        intake = Intake(committer, lambda: 1.0)
        await intake.accept(TRACES, PROTOBUF, make_request(size=700).SerializeToString(), "http")
        with pytest.raises(Unavailable, match="full"):
            await intake.accept(TRACES, PROTOBUF, payload, "http")
        assert len(journal.read(0, 100, 1 << 20)) > 1
        journal.delete_done(range(1, 100))
        await intake.accept(TRACES, PROTOBUF, payload, "http")
        await asyncio.to_thread(committer.stop)

    asyncio.run(run())
    counters = journal.counters()
    entries = journal.read(0, 100, 1 << 20)
    assert len(entries) > 2
    assert counters["requests_received", "http"] == 2
    assert counters["spans_received", "http"] == 1 + 5
    assert counters["spans_adjusted", "end_before_start"] == 1
    journal.close()


def test_spans_that_end_before_they_start_are_logged_once_an_hour(
    tmp_path: Path, make_request: MakeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """A client whose clock jumps does not fill the log: the metric has every span."""
    journal = SqliteJournal(tmp_path / "journal.db", 1 << 20)
    now = 100.0

    async def run() -> None:
        nonlocal now
        committer = GroupCommitter(journal)
        intake = Intake(committer, lambda: now)
        for seconds in (0.0, 1.0, 3597.0, 2.0):
            now += seconds
            request = make_request()
            request.resource_spans[0].scope_spans[0].spans[0].end_time_unix_nano = 1
            await intake.accept(TRACES, PROTOBUF, request.SerializeToString(), "http")
        await asyncio.to_thread(committer.stop)

    asyncio.run(run())
    assert [record.getMessage()[:50] for record in caplog.records] == [
        "1 spans of a request end before they start and are"
    ] * 2
    assert journal.counters()["spans_adjusted", "end_before_start"] == 4
    journal.close()
