"""Cheaper messages are those that OpenTelemetry's own code writes."""

from dataclasses import asdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.genai.types import BlobPart, InputMessage, OutputMessage, TextPart, ToolCallRequestPart

from qualitrace.libraries.messages import as_dict

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.builds(TextPart, content=st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)
PARTS = st.lists(
    st.builds(TextPart, content=st.text())
    | st.builds(ToolCallRequestPart, name=st.text(), id=st.text(), arguments=VALUES)
    | st.builds(BlobPart, mime_type=st.none() | st.text(), modality=st.text(), content=st.binary())
)
MESSAGES = st.builds(InputMessage, role=st.text(), parts=PARTS) | st.builds(
    OutputMessage, role=st.text(), finish_reason=st.text(), parts=PARTS
)


def lists_and_dicts(value: Any) -> set[int]:
    """Return the identities of all that may change in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    own = {id(value)} if isinstance(value, (list, dict)) else set()
    return own.union(*map(lists_and_dicts, inner))


@given(MESSAGES)
def test_as_dict(message: Any) -> None:
    """The same as `dataclasses.asdict`, with nothing in it that the app could still change."""
    made = as_dict(message)
    assert made == asdict(message)
    for part, arguments in ((part, getattr(part, "arguments", None)) for part in message.parts):
        assert not lists_and_dicts(made) & (lists_and_dicts(arguments) | {id(part), id(message.parts)})
