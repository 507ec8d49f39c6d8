"""What people said of traces, for the pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qualitrace_collector.person_feedback import PersonFeedback
from qualitrace_collector.state import Database, Opinions

TRACES = [f"{number:032x}" for number in range(1, 4)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Provide an empty state database."""
    opened = Database(tmp_path / "state.db")
    yield opened
    opened.close()


def put(database: Database, at: float, trace_id: str = TRACES[0], **changes: Any) -> None:
    """Keep an opinion."""
    fields: dict[str, Any] = {"trace_id": trace_id, "name": "thumb", "value": True} | changes
    feedback = PersonFeedback(**fields)
    with database.transaction() as connection:
        Opinions.put(connection, feedback, at)


def test_the_newest_of_each_person_is_kept(database: Database) -> None:
    """With its value as text, and the beginning of the comment; a user and an expert of one name are two."""
    put(database, 1, user="ada", value=True)
    put(database, 2, user="ada", value=0.5, comment="c" * 600)
    put(database, 3, user="ada", value="fail", source="expert")
    rows = Opinions(database).of(["tr-" + TRACES[0]])
    assert [(row["source"], row["value"]) for row in rows] == [("expert", "fail"), ("user", "0.5")]
    assert rows[1]["comment"] == "c" * 499 + "…"


def test_old_ones_and_those_beyond_the_bound_go(database: Database) -> None:
    """The newest stay."""
    for number, trace_id in enumerate(TRACES):
        put(database, number, trace_id)
    with database.transaction() as connection:
        Opinions.prune(connection, older_than=0.5, most=1)
    assert [row["given_at"] for row in Opinions(database).of(["tr-" + trace_id for trace_id in TRACES])] == [2]
