"""The queries of vector stores: which methods of their clients send them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import wrapt

from qualitrace.libraries.retrieval import Store, trace_queries, without_spans
from qualitrace.quiet import never_raises

_WEAVIATE = ("near_text", "near_vector", "near_object", "near_image", "near_media", "hybrid", "bm25")
# Versions before 1.16 have also `search` and its relatives.
_QDRANT = tuple(
    "query_points query_batch_points query_points_groups query query_batch search search_batch search_groups recommend "
    "recommend_batch recommend_groups discover discover_batch".split()
)
_PINECONE = ("query", "query_namespaces", "search", "search_records")


def chroma() -> None:
    """Trace the queries of Chroma: embedded, and to a server."""
    models = "chromadb.api.models"
    queries = {f"{models}.{kind}": (f"{kind}.query", f"{kind}.search") for kind in ("Collection", "AsyncCollection")}
    trace_queries(Store(name="chroma", queries=queries, collection=lambda collection, _: collection.name))


def qdrant() -> None:
    """Trace the queries of Qdrant: in memory, and to a server."""
    queries = {
        "qdrant_client.qdrant_client": _methods("QdrantClient", _QDRANT),
        "qdrant_client.async_qdrant_client": _methods("AsyncQdrantClient", _QDRANT),
    }
    trace_queries(Store(name="qdrant", queries=queries, collection=_named))


def _named(_: Any, arguments: Mapping[str, Any]) -> Any:
    return arguments.get("collection_name")


def weaviate() -> None:
    """Trace the searches of Weaviate, also those whose results a model of the server reads."""
    queries = {
        f"weaviate.collections.{module}": (*_methods(kind, _WEAVIATE), *_methods(f"{kind}Async", _WEAVIATE))
        for module, kind in (("query", "_QueryCollection"), ("generate", "_GenerateCollection"))
    }
    store = Store(
        name="weaviate",
        queries=queries,
        collection=lambda queried, _: queried._name,
        returning_awaitables=("_QueryCollectionAsync", "_GenerateCollectionAsync"),
    )
    trace_queries(store)


def pinecone() -> None:
    """Trace the queries of Pinecone by HTTP and by gRPC."""
    indexes = {
        "pinecone.index": ("Index",),
        "pinecone.async_client.async_index": ("AsyncIndex",),
        "pinecone.grpc": ("GrpcIndex", "GRPCIndex"),  # the second one before version 8
        # before version 8
        "pinecone.db_data.index": ("Index",),
        "pinecone.db_data.index_asyncio": ("_IndexAsyncio",),
    }
    documents = {
        "pinecone.client.documents": ("Documents.search",),
        "pinecone.async_client.documents": ("AsyncDocuments.search",),
    }
    for module, kinds in indexes.items():
        if "sync" not in module:
            wrapt.register_post_import_hook(partial(_quieten_threads, kinds), module)
    queries = {
        module: tuple(method for kind in kinds for method in _methods(kind, _PINECONE))
        for module, kinds in indexes.items()
    }
    store = Store(
        name="pinecone",
        queries=queries | documents,
        collection=_namespace,
        returning_awaitables=("_IndexAsyncio",),
    )
    trace_queries(store)


def _namespace(_: Any, arguments: Mapping[str, Any]) -> Any:
    return arguments.get("namespace")


class _WithoutSpans(wrapt.ObjectProxy):  # pyright: ignore[reportMissingTypeArgument]  # wrapt 1 has none
    """An index whose queries make no spans, in whatever thread."""

    def query(self, *args: Any, **kwargs: Any) -> Any:
        with without_spans():
            return self.__wrapped__.query(*args, **kwargs)


@never_raises
def _quieten_threads(kinds: tuple[str, ...], module: Any) -> None:
    """Let the queries that a query of several namespaces sends by threads, which do not know its span, make none."""
    for kind in kinds:
        if hasattr(getattr(module, kind, None), "query_namespaces"):
            wrapt.wrap_function_wrapper(module, f"{kind}.query_namespaces", _query_namespaces)


def _query_namespaces(wrapped: Any, index: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return wrapped.__func__(_WithoutSpans(index), *args, **kwargs)


def _methods(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{kind}.{name}" for name in names)
