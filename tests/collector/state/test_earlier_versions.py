"""Files of earlier versions, as those wrote them (`earlier/`, with a row in each table), are brought to the tables of now."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qualitrace_collector.state import Database, StateError
from qualitrace_collector.state.schema import VERSION

EARLIER = sorted((Path(__file__).parent / "earlier").glob("state-*.sql"))
BEGUN_ANEW = {"new_score", "open_session", "alert_watch"}
"""Tables that some version emptied: alerts begin anew, scores stay."""


def write(text: Path, path: Path) -> None:
    """Make the file that was dumped as text."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text.read_text())


def tables(database: Database) -> dict[str, set[tuple[object, ...]]]:
    """Return the columns of each table: name, type, whether it may be null, place in the key."""
    names = database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {
        name: {
            (row["name"], row["type"], row["notnull"], row["pk"]) for row in database.rows(f"PRAGMA table_info({name})")
        }
        for (name,) in names
    }


def indexes(database: Database) -> set[str]:
    return {
        row["name"] for row in database.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL")
    }


@pytest.mark.parametrize("earlier", EARLIER, ids=lambda path: path.stem)
def test_a_file_of_an_earlier_version_has_the_tables_of_a_new_one(earlier: Path, tmp_path: Path):
    """Columns and indexes are the same, and the rows are kept."""
    write(earlier, tmp_path / "state.db")
    with closing(sqlite3.connect(tmp_path / "state.db")) as before:
        kept = {name for (name,) in before.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    migrated, new = Database(tmp_path / "state.db"), Database(tmp_path / "new.db")
    assert tables(migrated) == tables(new)
    assert indexes(migrated) == indexes(new)
    assert migrated.rows("PRAGMA user_version")[0][0] == VERSION
    for name in (kept & tables(new).keys()) - BEGUN_ANEW:
        assert migrated.rows(f"SELECT count(*) FROM {name}")[0][0] >= 1, name


def test_a_migration_that_fails_changes_nothing(tmp_path: Path):
    """All versions in between are one transaction, so that the release before can still be started."""
    path = tmp_path / "state.db"
    write(EARLIER[0], path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE VIEW score_day AS SELECT 1")  # in the way of a table of today
        before = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY 1").fetchall()
    with pytest.raises(StateError, match=r"state\.db: cannot be used as a database"):
        Database(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, sql FROM sqlite_master ORDER BY 1").fetchall() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (int(EARLIER[0].stem.partition("-")[2]),)
