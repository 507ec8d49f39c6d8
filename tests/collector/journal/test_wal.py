"""The journal after a crash or damage at the end of its write-ahead log."""

import logging
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.journal import JournalEntry, SqliteJournal
from qualitrace_collector.journal.write_ahead_log import ignored_tail

REQUESTS = 20
PAYLOAD_BYTES = 6000  # more than a page


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the files of a journal whose process died, with every request in the log."""
    folder = tmp_path_factory.mktemp("running")
    journal = SqliteJournal(folder / "journal.db", 1 << 20)
    for number in range(REQUESTS):
        payload = number.to_bytes(1, "big") * PAYLOAD_BYTES
        journal.append([JournalEntry(signal="traces", payload=payload, received_at=1.0)])
    copy = shutil.copytree(folder, tmp_path_factory.mktemp("crashed") / "data")
    journal.close()
    return copy


def reopened(crashed: Path, folder: Path, damage: tuple[int, bytes] | None = None, cut: int = 0) -> list[int]:
    """Damage a copy of the log from its end, open it, and return which requests are left."""
    data = shutil.copytree(crashed, folder / "data", dirs_exist_ok=True)
    log = data / "journal.db-wal"
    if damage is not None:
        offset, garbage = damage
        with log.open("r+b") as file:
            file.seek(-offset, os.SEEK_END)
            file.write(garbage[:offset])
    if cut:
        os.truncate(log, log.stat().st_size - cut)
    journal = SqliteJournal(data / "journal.db", 1 << 20)
    entries = journal.read(0, 1000, 1 << 30)
    journal.append([JournalEntry(signal="traces", payload=b"new", received_at=2.0)])
    assert journal.read(entries[-1].position if entries else 0, 10, 1 << 20)[0].payload == b"new"
    journal.close()
    assert all(entry.payload == entry.payload[:1] * PAYLOAD_BYTES for entry in entries)
    return [entry.payload[0] for entry in entries]


def test_a_crash_leaves_nothing_to_ignore(crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every commit that was acked is read back, and there is nothing to report."""
    assert reopened(crashed, tmp_path) == list(range(REQUESTS))
    assert caplog.records == []


@given(st.integers(1, 30_000), st.binary(min_size=1, max_size=200), st.integers(0, 30_000))
def test_a_damaged_tail_costs_no_more_than_what_lies_behind_it(
    crashed: Path, tmp_path_factory: pytest.TempPathFactory, offset: int, garbage: bytes, cut: int
) -> None:
    """Whatever is overwritten or cut off at the end, what came before is whole and in order, and the journal works."""
    left = reopened(crashed, tmp_path_factory.mktemp("damaged"), (offset, garbage), cut)
    assert left == list(range(len(left)))
    touched = max(offset, cut) // PAYLOAD_BYTES + 1
    assert len(left) >= REQUESTS - touched - 1


def test_a_damaged_tail_is_reported_with_its_size(
    crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One changed byte in the last frame takes the last request out; the log says so, and names the file."""
    with caplog.at_level(logging.WARNING):
        assert reopened(crashed, tmp_path, (100, b"\xff")) == list(range(REQUESTS - 1))
    record, missing = caplog.records
    assert f"the requests {REQUESTS} to {REQUESTS} were acked and are missing" in missing.message
    assert "journal.db-wal" in record.getMessage()
    assert "behind the last complete commit are ignored" in record.getMessage()


def test_frames_of_an_earlier_log_are_no_tail(tmp_path: Path) -> None:
    """SQLite starts the log anew over its old frames, which are not damage."""
    journal = SqliteJournal(tmp_path / "journal.db", 1 << 30)
    for _ in range(200):
        journal.append([JournalEntry(signal="traces", payload=b"x" * PAYLOAD_BYTES, received_at=1.0)])
        journal.delete_done([entry.position for entry in journal.read(0, 10, 1 << 20)])
    checkpoints = (tmp_path / "journal.db-wal").read_bytes()[12:16]  # how often the log was started anew
    assert int.from_bytes(checkpoints, "big") > 0
    assert ignored_tail(tmp_path / "journal.db") == 0
    journal.close()


@pytest.mark.parametrize(
    "taken", [["journal.db-wal", "journal.db-shm"], ["journal.db", "journal.db-wal", "journal.db-shm"]]
)
def test_acked_requests_that_somebody_took_away_are_named_and_counted(
    crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, taken: list[str]
):
    """Once, with their numbers, which no other request gets."""
    data = shutil.copytree(crashed, tmp_path / "data")
    for name in taken:
        (data / name).unlink()
    for _ in range(2):
        journal = SqliteJournal(data / "journal.db", 1 << 20)
        assert journal.counters() == {("requests_missing", "journal.db"): REQUESTS}
        journal.close()
    (record,) = [record for record in caplog.records if "missing" in record.message]
    assert f"{data / 'journal.db'}: the requests 1 to {REQUESTS} were acked and are missing" in record.message
    journal = SqliteJournal(data / "journal.db", 1 << 20)
    journal.append([JournalEntry(signal="traces", payload=b"x", received_at=1.0)])
    assert [entry.position for entry in journal.read(0, 10, 1 << 20)] == [REQUESTS + 1]
    journal.close()


def test_nothing_is_missing_after_a_crash(crashed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Nor once the requests are deleted."""
    data = shutil.copytree(crashed, tmp_path / "data")
    for _ in range(2):
        journal = SqliteJournal(data / "journal.db", 1 << 20)
        journal.delete_done(range(REQUESTS + 1))
        assert journal.counters() == {}
        journal.close()
    assert "missing" not in caplog.text
