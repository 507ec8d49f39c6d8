"""Which statements are queries of vectors. The recordings of tests/libraries show what their spans hold."""

import sys
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from qualitrace.libraries.pgvector import pgvector, searches_vectors

VECTOR = SimpleNamespace(to_list=lambda: [0.1])  # as pgvector's own class
QUERY = "SELECT content FROM faq ORDER BY embedding <-> '[1,2]'"

QUERIES = [
    ("SELECT content FROM faq ORDER BY embedding <-> %s LIMIT 5", [VECTOR]),
    ("select content, 1 - (embedding <=> $1) AS score from faq", ["[0.1,0.2]"]),
    ("\n  WITH near AS (SELECT * FROM faq ORDER BY embedding <#> %(v)s) SELECT * FROM near", [[0.1, 0.2]]),
    ("SELECT content FROM faq ORDER BY embedding <+> '[1,2]' LIMIT 5", []),
    ("SELECT content FROM faq ORDER BY cosine_distance(embedding, %s)", ["{1:0.5}/3"]),
    ("SELECT content FROM faq ORDER BY bits <~> %s::bit(3)", ["101"]),
]
OTHERS = [
    ("SELECT content FROM faq WHERE id = %s", [VECTOR]),
    ("INSERT INTO faq (embedding) SELECT embedding FROM old ORDER BY embedding <-> %s", [VECTOR]),
    ("SELECT name FROM places ORDER BY position <-> ST_MakePoint(%s, %s)", [10.7, 59.9]),  # PostGIS
    ("SELECT word FROM words ORDER BY word <-> %s", ["tent"]),  # pg_trgm
    (b"SELECT 1", []),
]


@pytest.mark.parametrize(
    ("sql", "values", "expected"), [(*query, True) for query in QUERIES] + [(*o, False) for o in OTHERS]
)
def test_searches_vectors(sql: Any, values: list[Any], expected: bool) -> None:
    """A query selects by a distance, and a vector is there; other extensions have operators of the same names."""
    assert searches_vectors(sql, values) == expected


class PlainCursor:
    """Stands in for psycopg2's class, which is written in C."""

    name, description, rownumber = None, None, 0

    def execute(self, sql: str) -> str:
        return sql


class DictCursor(PlainCursor):
    """A cursor whose rows are mappings."""


class PlainConnection:
    cursor_factory: Any = None

    def cursor(self) -> Any:
        return (self.cursor_factory or PlainCursor)()


class DictConnection(PlainConnection):
    """As psycopg2's: it has a cursor of its own choice, unless the app chose another one."""

    def cursor(self) -> Any:
        return (self.cursor_factory or DictCursor)()


@pytest.fixture
def psycopg2(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client in whose place psycopg2's could be, with `pgvector` traced."""

    def connect(connection_factory: Any = PlainConnection, cursor_factory: Any = None) -> Any:
        connection = connection_factory()
        connection.cursor_factory = cursor_factory
        return connection

    module: Any = ModuleType("psycopg2")
    module.extensions = SimpleNamespace(cursor=PlainCursor, connection=PlainConnection)
    module.connect = connect
    monkeypatch.setitem(sys.modules, "psycopg2", module)
    monkeypatch.delitem(sys.modules, "psycopg2.extras", raising=False)
    pgvector()
    return module


@pytest.mark.parametrize("chosen", [{}, {"cursor_factory": DictCursor}])
def test_cursors_of_psycopg2(tracing: Any, psycopg2: Any, chosen: dict[str, Any]) -> None:
    """A query of vectors makes a span, by cursors of the class that the app chose."""
    cursor = psycopg2.connect(**chosen).cursor()
    assert isinstance(cursor, chosen.get("cursor_factory", PlainCursor))
    assert cursor.execute(QUERY) == QUERY
    assert list(tracing.flushed()) == ["pgvector.select"]


@pytest.mark.parametrize("chosen", [{"connection_factory": DictConnection}, {"cursor_factory": partial(DictCursor)}])
def test_other_cursors_of_psycopg2(psycopg2: Any, chosen: dict[str, Any]) -> None:
    """Where a connection's class or a function makes the cursors, they stay what they are."""
    assert type(psycopg2.connect(**chosen).cursor()) is DictCursor
