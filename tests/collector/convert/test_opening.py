"""What Python shows of values is read back without running it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.convert.content.opening import MAX_CHARACTERS, MAX_MARKS, is_cut_repr, opened, read_repr

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(), st.lists(LITERALS, max_size=4))
def test_a_list_reads_back(first: str, others: list[Any]):
    """Whatever quotation marks, escapes and brackets the texts hold."""
    assert read_repr(repr([first, *others])) == [first, *others]


@given(st.dictionaries(st.text(), LITERALS, min_size=1, max_size=4))
def test_a_mapping_reads_back(value: dict[str, Any]):
    """Keys are texts, as in JSON."""
    assert read_repr(repr(value)) == value


@given(st.text(), LITERALS)
def test_an_object_becomes_a_mapping_of_its_fields(text: str, other: Any):
    """Also inside a list, and with the name of its class."""
    shown = f"[schema.Document(page_content={text!r}, metadata={other!r})]"
    assert read_repr(shown) == [{"__class__": "Document", "page_content": text, "metadata": other}]


@given(st.text(), LITERALS)
def test_a_models_text_form_becomes_a_mapping_of_its_fields(text: str, other: Any):
    """Pydantic's `str` puts blanks between the fields."""
    assert read_repr(f"content={text!r} additional_kwargs={other!r} id='a'") == {
        "__class__": "Fields",
        "content": text,
        "additional_kwargs": other,
        "id": "a",
    }


@given(st.text(alphabet="A('\"[{<>=: ,)]}\\n0x") | st.text())
def test_any_other_text_is_left_alone(text: str):
    """No text breaks the reader; what it returns is a list, a mapping or nothing."""
    assert isinstance(read_repr(text), (list, dict, type(None)))


@pytest.mark.parametrize(
    "text",
    [
        "Hello (world)",
        "print('hello')",
        "[x for x in y]",
        "Point(x=f(1) + 2)",
        "A" * 10 + "(" * 5000,
        "['" + "a" * MAX_CHARACTERS + "']",
    ],
)
def test_code_and_prose_are_no_values(text: str):
    """Nothing is run, and nothing deeper or longer than can be read."""
    assert read_repr(text) is None


def test_enums_and_unreadable_objects_have_their_place():
    """An enum's member stands for its value, an object's address for nothing."""
    shown = "ChatMessage(role=<MessageRole.USER: 'user'>, raw=<object at 0x7f>, text='<b>Hi</b>')"
    assert read_repr(shown) == {"__class__": "ChatMessage", "role": "user", "raw": None, "text": "<b>Hi</b>"}


@pytest.mark.parametrize("text", ["<generator object f at 0x7f>", "StopEvent(result=AgentOutput(response='Hi..."])
def test_an_object_that_was_cut_is_known(text: str):
    """There is no answer in it to read."""
    assert is_cut_repr(text)
    assert not is_cut_repr("StopEvent(result='Hi')")


@pytest.mark.parametrize(("form", "marks"), [("[{}]", 2), ("[[]]", 2), ("[1]", 1)])
def test_json_of_very_many_values_stays_text(form: str, marks: int):
    """It would be many times as large in memory; a list with as many values as are allowed is opened."""
    item = form[1:-1]
    fits = MAX_MARKS // marks
    assert len(opened("[" + ",".join([item] * fits) + "]")) == fits
    too_much = "[" + ",".join([item] * (fits + 1)) + "]"
    assert opened(too_much) is too_much


@pytest.mark.parametrize("text", ['data: {"a": [%s1]}\n\n', '{"a": [%s1', '{"a": 1}\n{"a": [%s1]}'])
def test_streams_and_cut_json_of_very_many_values_stay_text(text: str):
    """Whatever form it has."""
    too_much = text % ("1," * MAX_MARKS)
    assert opened(too_much) is too_much
