"""Spans of the queries that clients of vector stores send, and none below the retriever of a framework."""

import inspect
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import wrapt
from opentelemetry import trace

from qualitrace.quiet import logger, never_raises
from qualitrace.spans import Span, span

_has_span: ContextVar[bool] = ContextVar("qualitrace_retrieval_has_span", default=False)

# Names of retrievers' spans, by the scope of instrumentors that say what a span is when it ends.
_MARKED_AT_END = {
    "openinference.instrumentation.haystack": re.compile(r"Retriever\."),
    "openinference.instrumentation.llama_index": re.compile(r"\._?a?retrieve$"),
}
# Arguments that hold what is asked, and where their objects have it: Chroma (query_texts, searches, rank), Qdrant
# (query, query_text, prefetch, requests, nearest), Weaviate (query), Pinecone (inputs, query, score_by).
_ASKED = ("query_texts", "query_text", "query", "inputs", "score_by", "searches", "prefetch", "requests")
_INSIDE = ("text", "query", "inputs", "nearest", "prefetch", "rank")
_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)  # of a document to look near to
_MAX_DEPTH = 5
_MAX_QUERIES = 100


def _nowhere(_: Any, __: Mapping[str, Any]) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Store:
    """A client of a vector store.

    Attributes:
        name: of the store, as `db.system.name`.
        queries: what sends a query, as `Class.method`, by module. A module that is never imported is left alone, and so
            is a method that this version lacks.
        collection: returns where is searched, from the client's object and the arguments by name.
        returning_awaitables: names of classes whose methods are plain functions that return an awaitable.
    """

    name: str
    queries: Mapping[str, tuple[str, ...]]
    collection: Callable[[Any, Mapping[str, Any]], Any] = _nowhere
    returning_awaitables: tuple[str, ...] = ()


def trace_queries(store: Store) -> None:
    """Make a retriever's span of each query."""
    for module, methods in store.queries.items():
        wrapt.register_post_import_hook(partial(_wrap, store, methods), module)


def traced(store: Store, function: Callable[..., Any]) -> Any:
    """Return a method that makes a retriever's span of each call."""
    return wrapt.FunctionWrapper(function, partial(_query, store))


@never_raises
def _wrap(store: Store, methods: tuple[str, ...], module: Any) -> None:
    found = 0
    for method in methods:
        with suppress(AttributeError):
            wrapt.wrap_function_wrapper(module, method, partial(_query, store))
            found += 1
    if not found:
        logger.warning("%s is not traced: %s has none of %s", store.name, module.__name__, ", ".join(methods))


@contextmanager
def without_spans() -> Generator[None]:
    """Make no spans of queries in the block."""
    token = _has_span.set(True)
    try:
        yield
    finally:
        _has_span.reset(token)


def has_span() -> bool:
    """Whether a query that is sent now is part of a retrieval that has a span."""
    current: Any = trace.get_current_span()
    attributes = getattr(current, "attributes", None) or {}  # not all spans let them be read
    if (
        attributes.get("openinference.span.kind") == "RETRIEVER"
        or attributes.get("gen_ai.operation.name") == "retrieval"
    ):
        return True
    scope = getattr(getattr(current, "instrumentation_scope", None), "name", "")
    retriever = _MARKED_AT_END.get(scope)
    return _has_span.get() or bool(retriever and retriever.search(current.name))


def _query(store: Store, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if has_span():
        return wrapped(*args, **kwargs)
    if inspect.iscoroutinefunction(wrapped) or type(instance).__name__ in store.returning_awaitables:
        return _awaited(store, wrapped, instance, args, kwargs)
    with span(f"{store.name}.{wrapped.__name__}", kind="retriever") as current:
        _describe(current, store, wrapped, instance, args, kwargs)
        result = wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result


async def _awaited(store: Store, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with span(f"{store.name}.{wrapped.__name__}", kind="retriever") as current:
        _describe(current, store, wrapped, instance, args, kwargs)
        result = await wrapped(*args, **kwargs)
        current.set_outputs(result)
        return result


@never_raises
def _describe(
    current: Span, store: Store, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    arguments = {**dict(zip(inspect.signature(wrapped).parameters, args, strict=False)), **kwargs}
    current.set_attribute("db.system.name", store.name)
    if collection := store.collection(instance, arguments):
        current.set_attribute("db.collection.name", str(collection))
    asked = (text for name in _ASKED for text in _texts(arguments.get(name), 0))
    if texts := dict.fromkeys(text for text, _ in zip(asked, range(_MAX_QUERIES), strict=False)):
        current.set_inputs("\n".join(texts))


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts that are asked for, in a text, a list, a mapping or an object of a client."""
    if isinstance(value, str):
        if value.strip() and not _ID.fullmatch(value):
            yield value
    elif isinstance(value, (list, tuple)):
        if not isinstance(next(iter(value), None), (int, float)):  # a vector
            for item in value:
                yield from _texts(item, depth + 1)
    elif value is not None and depth < _MAX_DEPTH:
        value = value.to_dict() if hasattr(value, "to_dict") else value
        names = [name for name in value if name in _INSIDE or name[:1] == "$"] if isinstance(value, dict) else _INSIDE
        for name in names:
            yield from _texts(value.get(name) if isinstance(value, dict) else getattr(value, name, None), depth + 1)
