"""Values: blobs become references, documents are found in any shape, numbered attributes become lists."""

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.convert.blobs import MIN_CHARACTERS, without_blobs
from qualitrace_collector.convert.content.documents import documents
from qualitrace_collector.convert.dialects.dialect import subtree

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
REFERENCE = f"blob:image/png;size={len(PNG)};sha256={hashlib.sha256(PNG).hexdigest()}"
ENCODED = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"data:image/png;base64,{ENCODED}", REFERENCE),
        (f'{{"type": "blob", "content": "{ENCODED}"}}', f'{{"type": "blob", "content": "{REFERENCE}"}}'),
        ({"data": [ENCODED, "short"]}, {"data": [REFERENCE, "short"]}),
        (base64.urlsafe_b64encode(PNG).decode(), REFERENCE),
        (PNG, REFERENCE),
    ],
    ids=["data URL", "JSON text", "nested", "URL-safe", "bytes"],
)
def test_a_picture_becomes_a_reference(value: Any, expected: Any):
    """Media type, size and hash stay; the megabytes do not."""
    assert without_blobs(value) == expected


@given(st.text(), st.binary(min_size=MIN_CHARACTERS, max_size=3000), st.text())
def test_a_blob_is_found_in_any_text(before: str, data: bytes, after: str):
    """Whatever stands around a blob stays, and the blob goes."""
    found = without_blobs(f"{before} data:audio/wav;base64,{base64.b64encode(data).decode()} {after}")
    reference = f"blob:audio/wav;size={len(data)};sha256={hashlib.sha256(data).hexdigest()}"
    assert found == f"{before} {reference} {after}"


@given(st.text(alphabet="abc xyz\n", max_size=5000))
def test_prose_is_left_alone(text: str):
    """Words are not taken for base64, however many."""
    runs = max(map(len, text.split()), default=0)
    assert runs >= MIN_CHARACTERS or without_blobs(text) == text


FOUND = [{"page_content": "Open in May.", "metadata": {}, "id": None}]


@pytest.mark.parametrize(
    "value",
    [
        ["Open in May."],
        [{"page_content": "Open in May.", "metadata": {}}],
        {"documents": [{"content": "Open in May."}]},
        json.dumps({"results": [{"text": "Open in May."}]}),
        [{"lc": 1, "type": "constructor", "kwargs": {"page_content": "Open in May."}}],
        [json.dumps({"node": {"text": "Open in May."}})],
        {"matches": [{"metadata": {"text": "Open in May."}}]},
        [["Open in May."]],
    ],
)
def test_documents_are_found_in_the_shapes_of_libraries(value: Any):
    """Texts, LangChain, Haystack, LlamaIndex, vector stores: one form."""
    found = documents(value)
    assert [document["page_content"] for document in found] == ["Open in May."]
    assert all(document.keys() == FOUND[0].keys() for document in found)


@pytest.mark.parametrize("value", [None, "text", 7, {"answer": "So."}, ["<NodeWithScore(node=…)>"], [1, 2], [], {}])
def test_other_values_are_no_documents(value: Any):
    """An object's representation, numbers and answers are not what a retriever found."""
    assert documents(value) == []


def test_scores_go_into_the_metadata():
    """Ranks of a vector store survive, beside the library's own metadata."""
    (found,) = documents([{"id": 7, "score": 0.5, "payload": {"text": "Open in May.", "metadata": {"page": 2}}}])
    assert found == {"page_content": "Open in May.", "metadata": {"page": 2, "score": 0.5}, "id": "7"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["text", "node", "documents", "id"]) | st.text(), inner)
    ),
    max_leaves=15,
)


@given(JSON_VALUES)
def test_any_value_gives_documents_of_one_form(value: Any):
    """No shape breaks the search, and all that is found is text with metadata."""
    for document in documents(value):
        assert isinstance(document["page_content"], str)
        assert isinstance(document["metadata"], dict)


def test_numbered_attributes_become_lists():
    """Numbers in names are places in a list, in the order of the numbers, not of the texts."""
    values = {f"m.{n}.message.role": str(n) for n in (0, 2, 10, 1)} | {"m.0.message.calls.0.id": "c", "other": 1}
    found = subtree(values, "m.")
    assert [item["message"]["role"] for item in found] == ["0", "1", "2", "10"]
    assert found[0]["message"]["calls"] == [{"id": "c"}]


@given(st.dictionaries(st.text(alphabet="m.019²", min_size=1), st.integers() | st.text()))
def test_any_names_give_a_list(values: dict[str, Any]):
    """Names that contradict each other, or only look like numbers, break nothing."""
    assert isinstance(subtree(values, "m."), list)
