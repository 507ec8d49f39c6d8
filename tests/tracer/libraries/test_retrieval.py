"""A query of a vector store is one retriever's span, wherever it is sent from; here of a store that the test makes."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace

import qualitrace
from qualitrace.content import CONTENT_VARIABLE
from qualitrace.libraries.retrieval import Store, trace_queries
from qualitrace.libraries.stores import pinecone

FOUND = {"matches": [{"id": "a", "score": 0.5, "metadata": {"text": "Paris is the capital.", "source": "atlas"}}]}


class Client:
    def query(self, query: Any = None, top_k: int = 1, collection: str = "") -> Any:
        if top_k < 1:
            raise ValueError("top_k is too small")
        return FOUND

    def search(self, **arguments: Any) -> Any:
        return self.query(**arguments)


class AsyncClient:
    async def query(self, query: Any = None) -> Any:
        return FOUND

    def search(self, query: Any = None) -> Any:
        return self.query(query)


def collection_of(client: Any, arguments: Mapping[str, Any]) -> Any:
    return arguments.get("collection")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module with clients whose queries are traced."""
    module: Any = ModuleType("some_store")
    module.Client = type("Client", (Client,), {})
    module.AsyncClient = type("AsyncClient", (AsyncClient,), {})
    monkeypatch.setitem(sys.modules, "some_store", module)
    methods = ("Client.query", "Client.search", "Client.gone", "AsyncClient.query", "AsyncClient.search")
    queries = {"some_store": methods, "never_imported": ("A.b",)}
    trace_queries(Store(name="some", queries=queries, collection=collection_of, returning_awaitables=("AsyncClient",)))
    return module


def test_query(tracing: Any, store: Any) -> None:
    """The span has the query, the collection and each document's text, id, score and metadata, in the app's trace."""

    @qualitrace.trace
    def answer(question: str) -> None:
        assert store.Client().query(question, collection="faq") is FOUND

    answer("Where is Paris?")
    spans = tracing.flushed()
    span = spans["some.query"]
    assert span.parent_id == spans["answer"].span_id
    assert span.attributes["openinference.span.kind"] == "RETRIEVER"
    assert span.attributes["input.value"] == "Where is Paris?"
    assert (span.attributes["db.system.name"], span.attributes["db.collection.name"]) == ("some", "faq")
    metadata = {"score": 0.5, "source": "atlas"}
    assert span.json("output.value") == [{"page_content": "Paris is the capital.", "metadata": metadata, "id": "a"}]


def test_asynchronous_query(tracing: Any, store: Any) -> None:
    """A coroutine's span lasts until it ends, also that of a plain function which returns one, and holds one query."""

    async def ask() -> None:
        assert await store.AsyncClient().query("first") is FOUND
        assert await store.AsyncClient().search("second") is FOUND

    asyncio.run(ask())
    tracing.flushed()
    assert [(span.name, span.attributes["input.value"]) for span in tracing.received] == [
        ("some.query", "first"),
        ("some.search", "second"),
    ]
    assert all("Paris" in span.attributes["output.value"] for span in tracing.received)


ASKED = [
    ("Where?", "Where?"),
    (["Where?", "When?", "Where?"], "Where?\nWhen?"),
    ({"inputs": {"text": "Where?"}, "top_k": 3}, "Where?"),
    (SimpleNamespace(nearest=SimpleNamespace(text="Where?")), "Where?"),
    ({"rank": {"$sum": [{"$knn": {"query": "Where?"}}, {"$knn": {"query": [0.1]}}]}}, "Where?"),
    ([0.1, 0.2], None),
    ("0c2bd9b6-4c2b-4b3f-8c54-6f3d1b6c3b6a", None),
]


@pytest.mark.parametrize(("query", "text"), ASKED)
def test_text_of_a_query(tracing: Any, store: Any, query: Any, text: str | None) -> None:
    """The text is found wherever clients take it; a vector or an id is none."""
    store.Client().query(query)
    attributes = tracing.flushed()["some.query"].attributes
    assert attributes.get("input.value") == attributes.get("gen_ai.retrieval.query.text") == text


def test_without_content(tracing: Any, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without content the span has neither the query nor what was found."""
    monkeypatch.setenv(CONTENT_VARIABLE, "no_content")
    store.Client().query("Where is Paris?")
    assert "Paris" not in repr(tracing.flushed()["some.query"].attributes)


def test_failed_query(tracing: Any, store: Any) -> None:
    """The app gets its error, and the span, too."""
    with pytest.raises(ValueError, match="top_k is too small"):
        store.Client().query("Where?", top_k=0)
    span = tracing.flushed()["some.query"]
    assert (span.status, span.message) == (2, "ValueError: top_k is too small")


def test_own_retriever(tracing: Any, store: Any) -> None:
    """Inside the app's own retriever the query makes no second span, and the store's result is read there."""

    @qualitrace.trace(kind="retriever")
    def search(question: str) -> Any:
        return store.Client().search(query=question)

    search("Where is Paris?")
    assert list(tracing.flushed()) == ["search"]
    assert tracing.received[0].json("output.value")[0]["page_content"] == "Paris is the capital."


def test_method_that_calls_another(tracing: Any, store: Any) -> None:
    """A client's method that uses another one is one query."""
    store.Client().search(query="Where?")
    assert list(tracing.flushed()) == ["some.search"]


RETRIEVERS = [
    ("opentelemetry.instrumentation.genai.langchain", "retrieval", {"gen_ai.operation.name": "retrieval"}),
    ("openinference.instrumentation.haystack", "ChromaEmbeddingRetriever.run", {}),
    ("openinference.instrumentation.llama_index", "VectorIndexRetriever._aretrieve", {}),
]


@pytest.mark.parametrize(("scope", "name", "attributes"), RETRIEVERS, ids=[scope for scope, _, _ in RETRIEVERS])
def test_retriever_of_a_framework(tracing: Any, store: Any, scope: str, name: str, attributes: Any) -> None:
    """Below a framework's retriever a query makes no span; below the framework's other steps it does."""
    tracer = trace.get_tracer(scope)
    with tracer.start_as_current_span("Pipeline.run"), tracer.start_as_current_span(name, attributes=attributes):
        store.Client().query("Where?")
    assert list(tracing.flushed()) == [name, "Pipeline.run"]
    with tracer.start_as_current_span("Tool.run"):
        store.Client().query("Where?")
    assert "some.query" in tracing.flushed()


def test_client_without_known_methods(
    store: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that has changed beyond recognition is named in the log."""
    trace_queries(Store(name="other", queries={"some_store": ("Other.query",)}, collection=collection_of))
    assert [record.getMessage() for record in caplog.records] == [
        "other is not traced: some_store has none of Other.query"
    ]


def test_pinecones_grpc_before_version_8(
    tracing: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its index has another name there, which neither breaks the import of the app nor goes untraced."""

    class GRPCIndex:
        def query(self, vector: list[float], namespace: str) -> list[str]:
            return [namespace]

    module: Any = ModuleType("pinecone.grpc")
    module.GRPCIndex = GRPCIndex
    monkeypatch.setitem(sys.modules, "pinecone.grpc", module)
    pinecone()
    assert GRPCIndex().query([0.1], namespace="faq") == ["faq"]
    assert list(tracing.flushed()) == ["pinecone.query"]
    assert not caplog.records
