"""Reads what a retriever, a vector store, a tool or MCP found as MLflow's documents (`page_content`, `metadata`, `id`).

It looks for records in this order: columns of a store, a list under a usual name, a record that wraps another, any list
of records further down. A record's text stands under a usual name, or under a name that ends like one. A record without
text is shown as JSON. Null values are left out.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from qualitrace_collector.convert.content import forms
from qualitrace_collector.convert.content.messages import is_silent, parts_text
from qualitrace_collector.convert.content.opening import as_sent, at, encodable, opened

MAX_DEPTH = 8

# More records of one retrieval are left out: no prompt holds as many.
MAX_DOCUMENTS = 1000

Document = dict[str, Any]

_COLUMNS = ("ids", "metadatas", "distances")

# How Python shows an object without its content.
_OBJECT = re.compile(r"<[\w.]+(?:\(.*\)| object at 0x\w+)>", re.DOTALL)


def documents(value: Any) -> list[Document]:
    """Return the documents in a value, in order; none if it holds no records and no texts."""
    value = opened(value)
    if isinstance(value, dict) and not _holds_documents(value):
        return []
    found = list(islice(_records(value, 0), MAX_DOCUMENTS))
    if any(document["page_content"] for document in found):
        for document in found:
            if not document["page_content"]:  # beside texts, a record with only an id and a score was found, too
                document["page_content"] = as_sent({"id": document["id"], **document["metadata"]})
    return found


def document_texts(value: Any) -> list[str]:
    """Return the texts of the documents in a value."""
    return [document["page_content"] for document in documents(value) if document["page_content"].strip()]


def _document(text: str, metadata: dict[str, Any] | None = None, identity: Any = None) -> Document:
    """Return a document in MLflow's form."""
    return {"page_content": text, "metadata": metadata or {}, "id": None if identity is None else str(identity)}


def document_of(item: Any) -> Document | None:
    """Return the document in one record, None if it is null, a number or blank."""
    return next(_records_of_item(item, 0), None)


def _holds_documents(value: dict[str, Any]) -> bool:
    """Whether a mapping holds a list or is a record with a text, and not the arguments or the answer of a function."""
    return bool(_own_text(value) or _wrapped(value) or _nested(value)) or any(
        isinstance(opened(value.get(key)), (list, dict)) for key in forms.DOCUMENT_LISTS
    )


def _records(value: Any, depth: int) -> Iterator[Document]:
    value = opened(value)
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        yield from _in_mapping(value, depth)
    elif isinstance(value, list) and not _is_vector(value):
        if _is_row(value):
            yield from _row(value, depth)
        else:
            for item in value:
                yield from _records_of_item(item, depth + 1)


def _records_of_item(item: Any, depth: int) -> Iterator[Document]:
    """Yield the documents of an item of a list: a text, a record, a pair with its score, or a list for one query."""
    item = opened(item)
    if isinstance(item, str):
        if item.strip() and not _OBJECT.fullmatch(item):
            yield _document(encodable(item))
    elif isinstance(item, list):
        yield from _records(item, depth)
    elif isinstance(item, dict) and depth <= MAX_DEPTH:
        yield from _of_record(item, depth)


def _in_mapping(value: dict[str, Any], depth: int) -> Iterator[Document]:
    if columns := _columns(value):
        yield from columns
        return
    for key in forms.DOCUMENT_LISTS:
        inner = opened(value.get(key))
        may_hold_records = inner and isinstance(inner, (list, dict)) and not _is_vector(inner)
        if may_hold_records and not _is_parts_of_record(value, inner) and (found := list(_records(inner, depth + 1))):
            yield from found
            return
    yield from _of_record(value, depth)


def _is_parts_of_record(value: dict[str, Any], inner: Any) -> bool:
    """Whether a list holds the parts of one record's text (OpenAI's search results), not records of its own."""
    is_parts = isinstance(inner, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) and "type" in part for part in inner
    )
    return is_parts and any(key in value for key in (*forms.DOCUMENT_IDS, *forms.DOCUMENT_SCORES))


def _columns(value: dict[str, Any]) -> list[Document]:
    """Read a store's columns: Chroma's `documents`, `ids`, `metadatas`, with one list for each query or without."""
    texts = value.get("documents")
    if not isinstance(texts, list) or not any(isinstance(value.get(name), list) for name in _COLUMNS):
        return []
    if texts and all(isinstance(row, list) for row in texts):
        queries = [{name: at(value, name, row) for name in ("documents", *_COLUMNS)} for row in range(len(texts))]
        return [document for query in queries for document in _columns(query)]
    ids, metadatas, distances = (value.get(name) for name in _COLUMNS)
    found: list[Document] = []
    for row, text in enumerate(texts):
        if isinstance(text, str) and text.strip():
            metadata = at(metadatas, row)
            document = _document(encodable(text), dict(metadata) if isinstance(metadata, dict) else {}, at(ids, row))
            found.append(_scored(document, at(distances, row)))
    return found


def _of_record(item: dict[str, Any], depth: int) -> Iterator[Document]:
    text = _own_text(item)
    if text:
        inside = list(_records(text, depth + 1)) if text[0] in ("{", "[") and "type" in item else []
        yield from inside or [_scored(_document(text, _metadata(item), _id(item)), _score(item))]
        return
    if "type" in item and is_silent(item) and not _wrapped(item):
        return  # a picture beside the texts of a tool
    if depth < MAX_DEPTH and (inner := _wrapped(item) or _nested(item)) is not None:
        found = list(_records({"id": _id(item)} | inner if isinstance(inner, dict) else inner, depth + 1))
        if found and any(document["page_content"] for document in found):
            yield from (_scored(document, _score(item)) for document in found)
            return
    if item and all(isinstance(record, dict) and _own_text(record) for record in item.values()):  # records by their ids
        yield from (_document(_own_text(record), _metadata(record), key) for key, record in item.items())
        return
    text = _text_like(item) or _as_json(item)
    if text or _id(item) is not None:
        yield _scored(_document(text, _metadata(item), _id(item)), _score(item))


def _own_text(item: dict[str, Any]) -> str:
    texts = (_text_in(item[key]) for key in forms.DOCUMENT_TEXTS if key in item)
    return next((text for text in texts if text.strip()), "")


def _text_in(value: Any) -> str:
    """Return a record's text, which may consist of parts (OpenAI's search) or be wrapped once more."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and "type" in part for part in value):
        return parts_text(value)
    inner = value.get("text", value.get("value")) if isinstance(value, dict) else value
    return encodable(inner) if isinstance(inner, str) else ""


def _wrapped(item: dict[str, Any]) -> dict[str, Any] | list[Any] | None:
    """Return the record inside a record, if it has a text."""
    for key in forms.DOCUMENT_WRAPPERS:
        inner = opened(item.get(key))
        if isinstance(inner, dict) and inner and (_own_text(inner) or _text_like(inner) or _wrapped(inner)):
            return inner
    return None


def _nested(item: dict[str, Any], depth: int = 0) -> list[Any] | dict[str, Any] | None:
    """Return a list of records further down, under whatever name (Weaviate's `data.Get.Article`)."""
    for key, value in item.items():
        if key in forms.DOCUMENT_SIDES:
            continue
        inner = opened(value) if not isinstance(value, str) else value
        if isinstance(inner, list) and inner and all(isinstance(entry, (dict, type(None))) for entry in inner):
            return inner
        if depth < MAX_DEPTH and isinstance(inner, dict) and (found := _nested(inner, depth + 1)) is not None:
            return found
    return None


def _text_like(item: dict[str, Any]) -> str:
    """Return the text under a name that ends like that of a text (`chunk_text`, `doc_body`)."""
    for key, value in item.items():
        name = key.lower().rstrip("_")
        if isinstance(value, str) and value.strip() and name.endswith(forms.DOCUMENT_TEXT_ENDS):
            return encodable(value)
    return ""


def _as_json(item: dict[str, Any]) -> str:
    """Return a record without a text as JSON; empty if it holds nothing but an id, a score or a vector."""
    rest = {key: value for key, value in item.items() if key not in forms.DOCUMENT_SIDES and not _is_vector(value)}
    has_content = any(value not in (None, "", [], {}) for value in rest.values())
    return as_sent({key: value for key, value in item.items() if not _is_vector(value)}) if has_content else ""


def _is_row(items: Sequence[Any]) -> bool:
    """Whether a list is one record: a document beside its score, or the scalars of a table's row."""
    numbers = [item for item in items if isinstance(item, (int, float)) and not isinstance(item, bool)]
    nested = [item for item in items if isinstance(item, (list, dict))]
    if numbers:
        return len(numbers) < len(items) and len(nested) <= 1
    texts = [item for item in items if isinstance(item, str)]
    return len(texts) == len(items) > 1 and sum(" " in text.strip() for text in texts) == 1  # a name beside a text


def _row(items: Sequence[Any], depth: int) -> Iterator[Document]:
    """Read LangChain's and FAISS' pairs of document and score, and rows of a table without names."""
    score = next((item for item in reversed(items) if isinstance(item, float)), None)
    score = items[-1] if score is None and isinstance(items[-1], int) else score
    if nested := [item for item in items if isinstance(item, (list, dict))]:
        yield from (_scored(document, score) for document in _records_of_item(nested[0], depth + 1))
        return
    texts = sorted((item for item in items if isinstance(item, str) and item.strip()), key=len)
    if texts:
        # of a name and a text, the text is the one with blanks between its words
        sentences = [text for text in texts if " " in text.strip()]
        opened_text = opened(texts[-1])
        if isinstance(opened_text, (dict, list)):
            yield from (_scored(document, score) for document in _records_of_item(opened_text, depth + 1))
        else:
            yield _scored(_document(encodable((sentences or texts)[-1])), score)


def _is_vector(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value[:8])
    )


def _metadata(item: dict[str, Any]) -> dict[str, Any]:
    found = opened(item.get("metadata") or item.get("meta"))
    return dict(found) if isinstance(found, dict) else {}


def _scored(document: Document, score: Any) -> Document:
    if isinstance(score, (int, float)) and not isinstance(score, bool):
        document["metadata"].setdefault("score", score)
    return document


def _score(item: dict[str, Any]) -> Any:
    return next((item[key] for key in forms.DOCUMENT_SCORES if isinstance(item.get(key), (int, float))), None)


def _id(item: dict[str, Any]) -> Any:
    return next((item[key] for key in forms.DOCUMENT_IDS if isinstance(item.get(key), (str, int))), None)
