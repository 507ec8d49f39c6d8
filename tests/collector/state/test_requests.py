"""Requests and their sums: bounded, and right whatever the clock does."""

from pathlib import Path

import numpy as np
import pytest

from qualitrace_collector.state import Database, requests
from qualitrace_collector.state.requests import Request, Requests, duration_percentile
from qualitrace_collector.state.schema import DURATION_BOUNDS, DURATIONS

NOW = 1_700_000_000.0


def request(service: str = "shop", *, error: bool = False, usd: float = 0.5, seconds: float | None = 1.0) -> Request:
    return Request(
        trace_id="tr-1", service=service, session="", error=error, seconds=seconds, first_token=None, tokens=10,
        usd=usd, slices={},
    )  # fmt: skip


def put(database: Database, at: float, *rows: Request) -> None:
    with database.transaction() as connection:
        Requests.put(connection, rows, at)


def sums(database: Database, seconds: float, now: float) -> dict[str, tuple[int, int, float, float]]:
    found = Requests.sums(database.connection(), now - seconds, now)
    return {row["service"]: (row["requests"], row["errors"], row["tokens"], row["usd"]) for row in found}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "state.db")


def test_sums_are_of_a_window_by_service(database: Database) -> None:
    """What is older than the window, or of another service, is left out."""
    put(database, NOW, request(), request(error=True), request("faq"))
    put(database, NOW - 7200, request())
    assert sums(database, 3600, NOW) == {"shop": (2, 1, 20, 1.0), "faq": (1, 0, 10, 0.5)}


def test_old_minutes_become_hours_and_end(database: Database) -> None:
    """The sums over days stay the same, with 60 times fewer rows, and nothing outlives its use."""
    start = NOW - 3 * 86_400
    for minute in range(0, 600, 7):
        put(database, start + minute * 60, request())
    before = sums(database, 4 * 86_400, NOW)
    with database.transaction() as connection:
        Requests.prune(connection, NOW)
    assert sums(database, 4 * 86_400, NOW) == before
    assert database.rows("SELECT count(*) FROM request_minute")[0][0] <= 11
    with database.transaction() as connection:
        Requests.prune(connection, NOW + 32 * 86_400)
    left = [
        database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("request_minute", "new_request", "last_seen")
    ]
    assert left == [0, 0, 0]


def test_rows_that_no_monitor_takes_are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A collector may run alone for ever."""
    monkeypatch.setattr(requests, "MOST_NEW", 5)
    for _ in range(10):
        put(database, NOW, request(), request())
    assert database.rows("SELECT count(*) FROM new_request")[0][0] == 5
    assert "left out of alerts: 5 wait" in caplog.text


def test_a_clock_that_was_ahead_leaves_no_sums_behind(database: Database) -> None:
    """They would count again when the clock gets there."""
    put(database, NOW + 7200, request(usd=100))
    put(database, NOW, request())
    with database.transaction() as connection:
        Requests.forget_ahead(connection, NOW)
    assert sums(database, 3600, NOW + 7200) == {}
    assert sums(database, 3600, NOW) == {"shop": (1, 0, 10, 0.5)}


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_percentiles_of_durations_come_from_counts(database: Database, share: float) -> None:
    """Within the width of a count, half as much again, also after minutes became hours."""
    durations = np.random.default_rng(7).lognormal(0.5, 1.0, 2000)
    put(database, NOW - 3 * 86_400, *(request(seconds=float(each)) for each in durations), request(seconds=None))
    with database.transaction() as connection:
        Requests.prune(connection, NOW)
    (row,) = Requests.sums(database.connection(), NOW - 4 * 86_400, NOW)
    exact = float(np.quantile(durations, share))
    assert row["requests"] == 2001
    assert exact / 1.5 < (duration_percentile([row[name] for name in DURATIONS], share) or 0) < exact * 1.5


def test_a_duration_beyond_all_bounds_is_the_last_bound() -> None:
    """A trace of a day is not an outlier that is shown as a number; without requests there is none."""
    none = [0] * len(DURATIONS)
    assert duration_percentile([*none[:-1], 3], 0.95) == DURATION_BOUNDS[-1]
    assert duration_percentile(none, 0.95) is None
