"""Which statements are queries of vectors. The recordings of tests/libraries show what their spans hold."""

from types import SimpleNamespace
from typing import Any

import pytest

from qualitrace.libraries.pgvector import searches_vectors

VECTOR = SimpleNamespace(to_list=lambda: [0.1])  # as pgvector's own class

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
