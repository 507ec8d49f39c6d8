"""Retrieved documents of every shape that retrievers return."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from qualitrace.documents import normalise, retrieval_attributes

SHAPES = [
    "Paris",
    {"page_content": "Paris"},
    {"text": "Paris"},
    {"content": "Paris"},
    {"document": "Paris"},
    {"document": {"text": "Paris"}},
    Document(page_content="Paris"),
    SimpleNamespace(text="Paris"),
    SimpleNamespace(node=SimpleNamespace(text="Paris")),
    SimpleNamespace(payload={"text": "Paris"}),
    (Document(page_content="Paris"), 0.5),
    ("Paris", 1),
]


@pytest.mark.parametrize("item", SHAPES)
def test_shapes(item: Any) -> None:
    """The text is found in each shape, alone and in a list."""
    assert [found["page_content"] for found in normalise(item)] == ["Paris"]
    assert [found["page_content"] for found in normalise([item, item])] == ["Paris", "Paris"]


def test_everything_is_kept() -> None:
    """Text, metadata, id and score arrive in the two forms that readers know."""
    document = Document(page_content="Paris", metadata={"source": "atlas"}, id="d1")
    attributes = retrieval_attributes([(document, 0.5), "Rome"])
    assert json.loads(attributes["output.value"]) == [
        {"page_content": "Paris", "metadata": {"source": "atlas"}, "id": "d1"},
        {"page_content": "Rome", "metadata": {}, "id": None},
    ]
    assert json.loads(attributes["gen_ai.retrieval.documents"]) == [
        {"content": "Paris", "id": "d1", "score": 0.5},
        {"content": "Rome"},
    ]


def test_two_texts_are_no_scored_pair() -> None:
    """A tuple of two texts is two documents; a pair of text and number is one."""
    assert len(normalise(("Paris", "Rome"))) == 2
    assert normalise(("Paris", 0.5))[0]["score"] == 0.5


def test_raising_property() -> None:
    """A document whose property raises is read by its next one."""

    class Node:
        content = "Paris"

        @property
        def text(self) -> str:
            raise ValueError("no text node")

    assert normalise([Node()])[0]["page_content"] == "Paris"


anything = st.recursive(
    st.none() | st.text() | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["text", "metadata", "id", "score", "node"]), inner)
    ),
)


@given(anything)
def test_any_value(value: Any) -> None:
    """Whatever a retriever returns, there is a list of documents with text."""
    documents = json.loads(retrieval_attributes(value)["output.value"])
    assert all(isinstance(document["page_content"], str) for document in documents)
