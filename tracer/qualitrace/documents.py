"""Converts retrieved documents of any shape into the two shapes that readers of traces know.

`output.value` gets the list `[{"page_content", "metadata", "id"}]` of MLflow and LangChain. The attribute
`gen_ai.retrieval.documents` gets OpenTelemetry's `[{"id", "score"}]`, with the text added as `content`.
"""

from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Any

from qualitrace.serialize import JSON_TYPE, to_json, to_text

TEXT_KEYS = ("page_content", "text", "content", "document", "chunk", "passage", "body")
METADATA_KEYS = ("metadata", "meta", "payload")
ID_KEYS = ("id", "id_", "node_id", "doc_id", "_id")
SCORE_KEYS = ("score", "relevance_score", "similarity")
NESTED_KEYS = ("document", "node", "payload")


def retrieval_attributes(retrieved: Any) -> dict[str, str]:
    """Return the span attributes that carry the retrieved documents."""
    documents = normalise(retrieved)
    passages = [{key: item[key] for key in ("page_content", "metadata", "id")} for item in documents]
    otel = [
        {
            "content": item["page_content"],
            **{key: item[key] for key in ("id", "score") if item[key] is not None},
        }
        for item in documents
    ]
    return {
        "output.value": to_json(passages),
        "output.mime_type": JSON_TYPE,
        "gen_ai.retrieval.documents": to_json(otel),
    }


def normalise(retrieved: Any) -> list[dict[str, Any]]:
    """Return each document as {page_content, metadata, id, score}; one of an unknown shape becomes its text."""
    if retrieved is None:
        return []
    if isinstance(retrieved, (list, tuple, Set)) and not _is_scored(retrieved):
        return [_document(item) for item in retrieved]
    return [_document(retrieved)]


def _is_scored(value: Any) -> bool:
    """Return whether `value` is a (document, score) pair, which vector stores return."""
    return isinstance(value, tuple) and len(value) == 2 and _is_number(value[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _document(item: Any) -> dict[str, Any]:
    if _is_scored(item):
        return {**_document(item[0]), "score": float(item[1])}
    identifier, metadata, text = _first(item, ID_KEYS), _first(item, METADATA_KEYS), _text(item)
    score = next((found for place in (item, metadata) if _is_number(found := _first(place, SCORE_KEYS))), None)
    return {
        "page_content": to_text(item)[0] if text is None else text,
        "metadata": metadata if isinstance(metadata, Mapping) else {},
        "id": None if identifier is None else str(identifier),
        "score": None if score is None else float(score),
    }


def _text(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(text := _first(item, TEXT_KEYS), str):
        return text
    nested = _first(item, NESTED_KEYS)
    return None if nested is None or nested is item else _text(nested)


def _first(item: Any, keys: tuple[str, ...]) -> Any:
    """Return the value of the first of these keys, or attributes, that has one."""
    values = (_get(item, key) for key in keys)
    return next((value for value in values if value is not None and not callable(value)), None)


def _get(item: Any, key: str) -> Any:
    if isinstance(item, Mapping):
        return item.get(key)
    with suppress(Exception):  # a property of the item may raise anything
        return getattr(item, key, None)
