"""What a retriever found, as MLflow's documents: mappings with `page_content`, `metadata` and `id`."""

import json
from typing import Any

from qualitrace_collector.convert.draft import Draft
from qualitrace_collector.convert.indexed import subtree

_LIST_KEYS = (
    "documents docs passages results nodes source_nodes matches chunks contexts hits retrieved_documents outputs "
    "output points data"
).split()
_TEXT_KEYS = "page_content pageContent content text document passage body chunk snippet".split()
_ID_KEYS = ("id", "id_", "doc_id", "document_id", "node_id")
_WRAPPERS = ("node", "kwargs", "payload", "entity", "document", "fields", "_source")
_REPR = ("<", "Document(", "NodeWithScore(", "ScoredPoint(")
MAX_DEPTH = 6


def documents(value: Any, depth: int = 0) -> list[dict[str, Any]]:
    """Return the documents in a value, in order; none if it does not look like any.

    Taken are lists of texts, of mappings with a text under one of the usual names, of LangChain's, LlamaIndex's,
    Haystack's and the vector stores' objects, also as JSON text; and mappings that hold such a list.
    """
    value = _opened(value)
    if depth > MAX_DEPTH:
        return []
    if isinstance(value, dict):
        for key in _LIST_KEYS:
            if key in value and (found := documents(value[key], depth + 1)):
                return found
        return []
    if not isinstance(value, list):
        return []
    if value and all(isinstance(item, list) for item in value):  # one list for each query
        return [document for item in value for document in documents(item, depth + 1)]
    found = [_document(_opened(item)) for item in value]
    return [document for document in found if document] if all(found) else []


def openinference_documents(draft: Draft, prefix: str) -> list[dict[str, Any]]:
    """Read documents from numbered attributes (`retrieval.documents.0.document.content`)."""
    items = [item.get("document") for item in subtree(draft.values, prefix) if isinstance(item, dict)]
    return [document for item in items if isinstance(item, dict) and (document := _document(item))]


def _document(item: Any, depth: int = 0) -> dict[str, Any] | None:
    if isinstance(item, str):
        return None if item.startswith(_REPR) else _made(item, {}, None)
    if isinstance(item, list) and item and depth <= MAX_DEPTH:  # LangChain's pairs of document and score
        found = _document(_opened(item[0]), depth + 1)
        return _scored(found, item[1] if len(item) > 1 else None)
    if not isinstance(item, dict) or depth > MAX_DEPTH:
        return None
    text = next((item[key] for key in _TEXT_KEYS if isinstance(item.get(key), str)), None)
    if text is None:
        for key in _WRAPPERS:
            inner = _opened(item.get(key))
            if isinstance(inner, dict) and (found := _document({"id": _id(item)} | inner, depth + 1)):
                return _scored(found, item.get("score", item.get("distance")))
    metadata = _opened(item.get("metadata") or item.get("meta"))
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    if text is None:
        text = next((metadata[key] for key in _TEXT_KEYS if isinstance(metadata.get(key), str)), None)
    if text is None and _id(item) is None:
        return None
    return _scored(_made(text or "", metadata, _id(item)), item.get("score", item.get("distance")))


def _made(text: str, metadata: dict[str, Any], identity: Any) -> dict[str, Any]:
    return {"page_content": text, "metadata": metadata, "id": None if identity is None else str(identity)}


def _scored(document: dict[str, Any] | None, score: Any) -> dict[str, Any] | None:
    if document is not None and isinstance(score, (int, float)):
        document["metadata"].setdefault("score", score)
    return document


def _id(item: dict[str, Any]) -> Any:
    return next((item[key] for key in _ID_KEYS if isinstance(item.get(key), (str, int))), None)


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
