"""What fills databases for benchmarks gives the sums that the counting code gives."""

import dataclasses
from pathlib import Path

import pytest

from qualitrace_collector.state import Database
from qualitrace_monitors.estimate.scores import ScoreRow
from support.many_scores import Load, fill

TABLES = ("score_minute", "score_hour", "score_day", "score_bin", "pair_minute", "pair_hour", "slice_value")


def test_the_sums_are_those_of_the_scores_saved_one_by_one(database: Database, tmp_path: Path) -> None:
    """In each table, to the last rounding."""
    fill(database, Load(scores=400, until=1_800_000_000.0, services=3, judges=4, days=2))
    counted = Database(tmp_path / "counted.db")
    names = [field.name for field in dataclasses.fields(ScoreRow)]
    scores = database.rows("SELECT * FROM score ORDER BY completed_at")
    with counted.transaction() as connection:
        for score in scores:
            ScoreRow(**{name: score[name] for name in names}).save(connection)
    assert len(scores) > 400
    assert database.rows("SELECT 1 FROM score WHERE session != ''")
    for table in TABLES:
        rows, expected = (read(each, table) for each in (database, counted))
        assert rows.keys() == expected.keys(), table
        assert rows, table
        for key, row in rows.items():
            assert row == pytest.approx(expected[key], rel=1e-9, abs=1e-9), (table, key)
    counted.close()


def read(database: Database, table: str) -> dict[tuple[object, ...], list[float]]:
    """Return the rows by their primary key."""
    columns = database.rows(f"PRAGMA table_info({table})")
    keys = [column["name"] for column in columns if column["pk"]]
    others = [column["name"] for column in columns if not column["pk"]]
    rows = database.rows(f"SELECT * FROM {table}")
    return {tuple(row[name] for name in keys): [row[name] for name in others] for row in rows}
