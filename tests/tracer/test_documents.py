"""Retrieved documents of every shape that retrievers return."""

import json
from dataclasses import dataclass
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
    SimpleNamespace(id=1, payload={"name": "atlas", "chunk_text": "Paris"}),
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
        {"page_content": "Paris", "metadata": {"source": "atlas", "score": 0.5}, "id": "d1"},
        {"page_content": "Rome", "metadata": {}, "id": None},
    ]
    assert json.loads(attributes["gen_ai.retrieval.documents"]) == [
        {"content": "Paris", "id": "d1", "score": 0.5},
        {"content": "Rome"},
    ]


ATLAS = {"text": "Paris is the capital of France.", "source": "atlas"}
GUIDE = {"text": "Oslo is the capital of Norway.", "source": "guide"}


@dataclass
class Result:
    """What a client of a store returns, under one of its names."""

    objects: list[Any]


RESULTS = {
    "chroma": {
        "ids": [["a"], ["b"]],
        "documents": [[ATLAS["text"]], [GUIDE["text"]]],
        "metadatas": [[{"source": "atlas"}], [{"source": "guide"}]],
        "distances": [[0.1], [0.2]],
        "embeddings": None,
    },
    "qdrant": SimpleNamespace(
        points=[SimpleNamespace(id="a", score=0.1, payload=ATLAS), SimpleNamespace(id="b", score=0.2, payload=GUIDE)]
    ),
    "qdrant, two queries": [
        SimpleNamespace(points=[SimpleNamespace(id="a", score=0.1, payload=ATLAS)]),
        SimpleNamespace(points=[SimpleNamespace(id="b", score=0.2, payload=GUIDE)]),
    ],
    "qdrant, groups": SimpleNamespace(
        groups=[
            SimpleNamespace(id="shelf", hits=[SimpleNamespace(id="a", score=0.1, payload=ATLAS)]),
            SimpleNamespace(id="shop", hits=[SimpleNamespace(id="b", score=0.2, payload=GUIDE)]),
        ]
    ),
    "weaviate": Result(
        [
            SimpleNamespace(uuid="a", properties=ATLAS, metadata=SimpleNamespace(distance=None, score=0.1)),
            SimpleNamespace(uuid="b", properties=GUIDE, metadata=SimpleNamespace(distance=0.2, score=None)),
        ]
    ),
    "pinecone": {
        "matches": [
            {"id": "a", "score": 0.1, "values": [], "metadata": ATLAS},
            {"id": "b", "score": 0.2, "values": [], "metadata": GUIDE},
        ]
    },
    "pinecone, records": SimpleNamespace(
        result=SimpleNamespace(
            hits=[SimpleNamespace(id="a", score=0.1, fields=ATLAS), SimpleNamespace(id="b", score=0.2, fields=GUIDE)]
        )
    ),
    "rows": [
        {"id": "a", "chunk_text": ATLAS["text"], "source": "atlas", "embedding": "[0.5,0.25]", "distance": 0.1},
        {"id": "b", "chunk_text": GUIDE["text"], "source": "guide", "embedding": "[1,-2e-7]", "distance": 0.2},
    ],
    "texts under other names": [
        {"id": "a", "cosine_distance": 0.1, "entry": ATLAS["text"], "source": "atlas"},
        {"id": "b", "cosine_distance": 0.2, "entry": GUIDE["text"], "source": "guide"},
    ],
    "metadata beside the text": [
        SimpleNamespace(id="a", score=0.1, payload={"page_content": ATLAS["text"], "metadata": {"source": "atlas"}}),
        SimpleNamespace(id="b", score=0.2, payload={"page_content": GUIDE["text"], "metadata": {"source": "guide"}}),
    ],
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())
def test_results_of_stores(result: Any) -> None:
    """Each document of a store's result has its text, and its id, score and source apart."""
    assert normalise(result) == [
        {"page_content": ATLAS["text"], "metadata": {"source": "atlas"}, "id": "a", "score": 0.1},
        {"page_content": GUIDE["text"], "metadata": {"source": "guide"}, "id": "b", "score": 0.2},
    ]


def test_fields_without_one_text() -> None:
    """If no field is the text, all of them are; names and numbers alone are none."""
    fields = {"question": "How long is the warranty?", "answer": "It lasts for 24 months."}
    (found,) = normalise([SimpleNamespace(uuid="a", properties=fields)])
    assert json.loads(found["page_content"]) == fields
    (found,) = normalise({"ids": [["a"]], "documents": None, "metadatas": [[{"source": "faq-0.md", "page": 3}]]})
    assert found == {"page_content": "", "metadata": {"source": "faq-0.md", "page": 3}, "id": "a", "score": None}


def test_nothing_found() -> None:
    """A result without documents is none, not a document."""
    assert normalise(SimpleNamespace(points=[])) == normalise({"ids": [[]], "documents": [[]]}) == []


def test_id_in_the_metadata() -> None:
    """LangChain's store of Qdrant has the id among the metadata."""
    (found,) = normalise([Document(page_content="Paris", metadata={"_id": 7})])
    assert (found["page_content"], found["id"]) == ("Paris", "7")


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
