"""The sentence that failed is found in the text, however the judge quotes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.sample import Sample
from qualitrace_monitors.answers.marks import marked
from qualitrace_monitors.judges.builtin.grounding import GROUNDEDNESS


def test_the_local_judge_s_sentence_is_marked() -> None:
    """Groundedness names the sentence that the passages support least, without Markdown and list numbers."""
    answer = "Returns take 30 days.\n\n1. **Shipping is free** to Mars since 1969!\nBye."
    finding = GROUNDEDNESS.assess(Sample(outputs=answer, passages=("Returns take 30 days.",)))
    parts = marked(answer, [("groundedness", finding.rationale)])
    assert [part.text for part in parts if part.judges] == ["Shipping is free** to Mars since 1969!"]


@pytest.mark.parametrize(
    ("text", "rationale", "expected"),
    [
        ("It is red. It is blue.", "No source (“It is blue”)", "It is blue."),
        ("It is red. It is blue.", "Cut off: “It is bl", "It is bl"),
        ("It is red. It is so very blue.", "Too long: “It is so v…”", "It is so v"),
        ("STRASSE und Straße", "“straße”", "Straße"),
        ("It is red.", "No quotation", ""),
        ("It is red.", "“It is green.”", ""),
        ("It is red.", "“is”", ""),
    ],
)
def test_quotations(text: str, rationale: str, expected: str) -> None:
    """What a rationale quotes is marked once."""
    assert "".join(part.text for part in marked(text, [("j", rationale)]) if part.judges) == expected


def test_judges_may_quote_parts_of_each_other() -> None:
    """Each part names all of them."""
    parts = marked("It is red and blue.", [("a", "“It is red”"), ("b", "“red and blue.”")])
    assert [(part.text, part.judges) for part in parts] == [
        ("It is ", ("a",)),
        ("red", ("a", "b")),
        (" and blue.", ("b",)),
    ]


@given(st.text(), st.lists(st.tuples(st.just("j"), st.text(alphabet=st.sampled_from("“”abİß .,\n…"))), max_size=4))
def test_no_text_is_lost(text: str, rationales: list[tuple[str, str]]) -> None:
    """Whatever it and the rationales are."""
    assert "".join(part.text for part in marked(text, rationales)) == text
