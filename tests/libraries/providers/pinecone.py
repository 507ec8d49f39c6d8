"""Pinecone's index: queries by vector, of records by text, and of documents."""

from typing import Any

from libraries.providers.answer import Answer
from libraries.providers.script import PASSAGES

BROKEN_NAMESPACE = "broken"
_SCORES = (0.9, 0.8, 0.7)
_DOCUMENTS = [
    (f"faq-{n}", score, {"text": text, "source": f"faq-{n}.md"})
    for n, (text, score) in enumerate(zip(PASSAGES, _SCORES, strict=True))
]


def query(asked: dict[str, Any]) -> Answer:
    """Answer `POST /query`: the best passages, whatever the vector."""
    if asked.get("namespace") == BROKEN_NAMESPACE:
        return Answer.json({"code": 3, "message": "the index is broken", "details": []}, 400)
    matches = [
        {"id": name, "score": score, "values": []} | ({"metadata": fields} if asked.get("includeMetadata") else {})
        for name, score, fields in _DOCUMENTS[: asked["topK"]]
    ]
    usage = {"readUnits": 1}
    return Answer.json({"matches": matches, "namespace": asked.get("namespace", ""), "usage": usage})


def search_records(asked: dict[str, Any]) -> Answer:
    """Answer `POST /records/namespaces/NAME/search`."""
    found = _DOCUMENTS[: asked["query"]["top_k"]]
    hits = [{"_id": name, "_score": score, "fields": fields} for name, score, fields in found]
    return Answer.json({"result": {"hits": hits}, "usage": {"read_units": 1, "embed_total_tokens": 5}})


def search_documents(asked: dict[str, Any]) -> Answer:
    """Answer `POST /namespaces/NAME/documents/search`."""
    found = _DOCUMENTS[: asked["top_k"]]
    matches = [{"_id": name, "_score": score, **fields} for name, score, fields in found]
    return Answer.json({"matches": matches, "namespace": "", "usage": {"read_units": 1}})
