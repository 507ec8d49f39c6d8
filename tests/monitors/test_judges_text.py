"""Text is split into sentences and words, in time linear in it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.judges.local.text import sentences, words


def test_sentences_end_at_marks_and_lines_but_not_at_abbreviations():
    """Full stops, question marks, closing quotes, line breaks amid spaces; not Dr. and not J."""
    text = 'Dr. J. Hill came. "Really?" Yes  \n  - first\n\n2. second。第三！'
    assert list(sentences(text)) == ["Dr. J. Hill came.", '"Really?', "Yes", "first", "second。", "第三！"]


@given(st.text(alphabet="ab .\n\t!?\"'。[1]"))
def test_no_letter_is_lost(text: str):
    """Splitting takes away marks and spaces only."""
    assert "".join(sentences(text)).count("a") == text.count("a")


@pytest.mark.parametrize("unit", [" ", "\n", " \n", "\t", ". ", '."', "Mr. ", "- ", "1.", "a'"])
def test_hostile_text_takes_no_longer_than_long_text(unit: str):
    """A hundred thousand characters of any repeated sign are read in a moment."""
    text = "a" + unit * (100_000 // len(unit)) + "b"
    started = time.process_time()
    sentences(text)
    words(text)
    assert time.process_time() - started < 2
