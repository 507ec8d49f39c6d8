"""Converts retrieved documents of any shape into the two shapes that readers of traces know.

`output.value` gets the list `[{"page_content", "metadata", "id"}]` of MLflow and LangChain, the score in the metadata.
The attribute `gen_ai.retrieval.documents` gets OpenTelemetry's `[{"id", "score"}]`, with the text added as `content`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from itertools import islice
from numbers import Real
from typing import Any

from qualitrace.serialize import JSON_TYPE, MAX_ITEMS, as_mapping, to_json, to_text

# Where a result keeps its documents: Qdrant (points; groups, which have hits), Pinecone (matches, hits), Weaviate
# (objects), Haystack (documents), LlamaIndex (source_nodes).
LIST_KEYS = ("points", "matches", "objects", "hits", "groups", "documents", "source_nodes")
MAX_DEPTH = 3  # of results in results
# Chroma's results have a list for each of these, with a list inside for each query.
COLUMNS = {"ids": "id", "documents": "document", "metadatas": "metadata", "distances": "distance", "scores": "score"}

TEXT_KEYS = ("page_content", "text", "content", "document", "chunk", "passage", "body")
METADATA_KEYS = ("metadata", "meta", "payload", "properties", "fields")
ID_KEYS = ("id", "id_", "node_id", "doc_id", "_id", "uuid")
# A distance is a score, too: the number by which a store ranks.
SCORE_KEYS = ("score", "relevance_score", "similarity", "_score", "distance", "certainty")
NESTED_KEYS = ("document", "node", "payload", "properties", "fields", "metadata")

MIN_SENTENCE = 5  # words
_TEXT_NAME = re.compile(r"(text|content|chunk|passage|body|snippet|document)_?$", re.IGNORECASE)
_SCORE_NAME = re.compile(r"(score|distance|similarity)$", re.IGNORECASE)
_VECTOR_AS_TEXT = re.compile(r"\[-?\d[\d.eE+-]*,")  # PostgreSQL's form


def retrieval_attributes(retrieved: Any) -> dict[str, str]:
    """Return the span attributes that carry the retrieved documents."""
    documents = normalise(retrieved)
    otel = [
        {
            "content": item["page_content"],
            **{key: item[key] for key in ("id", "score") if item[key] is not None},
        }
        for item in documents
    ]
    return {
        "output.value": to_json([_passage(item) for item in documents]),
        "output.mime_type": JSON_TYPE,
        "gen_ai.retrieval.documents": to_json(otel),
    }


def _passage(item: dict[str, Any]) -> dict[str, Any]:
    score = {} if item["score"] is None else {"score": item["score"]}
    return {"page_content": item["page_content"], "metadata": score | dict(item["metadata"]), "id": item["id"]}


def normalise(retrieved: Any) -> list[dict[str, Any]]:
    """Return each document as {page_content, metadata, id, score}; one of an unknown shape becomes its text.

    Args:
        retrieved: a document, several of them, the result of a vector store, or several results.
    """
    if retrieved is None:
        return []
    several = isinstance(retrieved, (list, tuple, Set)) and not _is_scored(retrieved)
    found = (item for value in (retrieved if several else [retrieved]) for item in _items(value, 0))
    return [_document(item) for item in islice(found, MAX_ITEMS)]


def _items(value: Any, depth: int) -> Iterator[Any]:
    """Yield the documents in a store's result, or the value itself if it is none."""
    inner = _documents_in(value) if depth < MAX_DEPTH else None
    if inner is None:
        yield value
    else:
        for item in inner:
            yield from _items(item, depth + 1)


def _documents_in(value: Any) -> Sequence[Any] | None:
    if isinstance(value, (str, bytes, list, tuple, Set)) or isinstance(_first(value, TEXT_KEYS), str):
        return None
    if (rows := _rows(value)) is not None:
        return rows
    for place in (value, _get(value, "result")):  # Pinecone's search has `result.hits`
        inner = _first(place, LIST_KEYS)
        if isinstance(inner, (list, tuple)) and not any(map(_is_number, inner[:1])):
            return inner
    return None


def _rows(value: Any) -> list[Any] | None:
    """Return the rows of Chroma's columns, those of one query after those of the other."""
    if not isinstance(value, Mapping) or not isinstance(value.get("ids"), list):
        return None
    columns = {name: _flat(value[key]) for key, name in COLUMNS.items() if isinstance(value.get(key), list)}
    return [
        {name: column[row] for name, column in columns.items() if row < len(column)}
        for row in range(len(columns["id"]))
    ]


def _flat(column: list[Any]) -> list[Any]:
    nested = all(isinstance(part, list) for part in column)
    return [item for part in column for item in part] if nested else column


def _is_scored(value: Any) -> bool:
    """Return whether `value` is a (document, score) pair, which vector stores return."""
    return isinstance(value, tuple) and len(value) == 2 and _is_number(value[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and value is not True and value is not False


def _is_vector(value: Any) -> bool:
    """Return whether a column of a table holds a vector: NumPy's, pgvector's, or PostgreSQL's text."""
    if isinstance(value, str):
        return bool(_VECTOR_AS_TEXT.match(value))
    return not _is_number(value) and (hasattr(value, "tolist") or hasattr(value, "to_list"))


def _document(item: Any) -> dict[str, Any]:
    if _is_scored(item):
        return {**_document(item[0]), "score": float(item[1])}
    identifier, text, fields = _first(item, ID_KEYS), _text(item), _fields(item)
    if identifier is None:
        identifier = fields.get("_id")  # LangChain's Qdrant
    if text is None:
        text = _likely_text(fields) or ("" if identifier is not None else to_text(item)[0])
    return {
        "page_content": text,
        "metadata": _metadata(fields, text),
        "id": None if identifier is None else str(identifier),
        "score": _score(item),
    }


def _score(item: Any) -> float | None:
    for place in (item, *(_get(item, key) for key in METADATA_KEYS)):
        if _is_number(found := _first(place, SCORE_KEYS)):
            return float(found)
    columns = item.items() if isinstance(item, Mapping) else ()
    return next((float(found) for name, found in columns if _SCORE_NAME.search(str(name)) and _is_number(found)), None)


def _fields(item: Any) -> Mapping[Any, Any]:
    """Return what a document has beside text, id and score: its metadata, or the other columns of a row."""
    found = (_get(item, key) for key in METADATA_KEYS)
    named = next((fields for fields in found if isinstance(fields, Mapping)), None)
    if named is not None:
        return named
    if not isinstance(item, Mapping) and any(hasattr(item, key) for key in METADATA_KEYS):
        return {}  # a store's record, of which the app wants no metadata
    with suppress(Exception):  # the item's own code
        record: Any = item
        columns = record.to_dict() if hasattr(item, "to_dict") and hasattr(item, "id") else as_mapping(item)
        if isinstance(columns, Mapping):
            return {name: value for name, value in columns.items() if not _is_apart(str(name), value)}
    return {}


def _is_apart(name: str, value: Any) -> bool:
    is_score = _SCORE_NAME.search(name) and _is_number(value)
    return value is None or name in ID_KEYS or bool(is_score) or _is_vector(value)


def _metadata(fields: Mapping[Any, Any], text: str) -> Mapping[Any, Any]:
    """Return the fields without the text, and with those that are metadata once more (LangChain's payloads)."""
    rest = {name: value for name, value in fields.items() if not (isinstance(value, str) and value == text)}
    inner = rest.pop("metadata", None)
    return {**rest, **inner} if isinstance(inner, Mapping) else rest if inner is None else {**rest, "metadata": inner}


def _text(item: Any) -> str | None:
    if isinstance(item, str):
        return item
    if isinstance(text := _first(item, TEXT_KEYS), str):
        return text
    nested = (inner for key in NESTED_KEYS if (inner := _get(item, key)) is not item and not isinstance(inner, str))
    return next((text for inner in nested if inner is not None and (text := _text(inner)) is not None), None)


def _likely_text(fields: Mapping[Any, Any]) -> str:
    """Return the field that is named like a text, or the only sentence; else all fields, if one has several words."""
    texts = {name: value for name, value in fields.items() if isinstance(value, str) and value.strip()}
    named = [value for name, value in texts.items() if _TEXT_NAME.search(str(name))]
    sentences = [value for value in texts.values() if len(value.split()) >= MIN_SENTENCE]
    if named or len(sentences) == 1:
        return (named or sentences)[0]
    # Names and numbers alone are not material: the app reads the texts elsewhere.
    return to_json(fields) if any(" " in value.strip() for value in texts.values()) else ""


def _first(item: Any, keys: tuple[str, ...]) -> Any:
    """Return the value of the first of these keys, or attributes, that has one."""
    values = (_get(item, key) for key in keys)
    return next((value for value in values if value is not None and not callable(value)), None)


def _get(item: Any, key: str) -> Any:
    if isinstance(item, Mapping):
        return item.get(key)
    with suppress(Exception):  # a property of the item may raise anything
        return getattr(item, key, None)
