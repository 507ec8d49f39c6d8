"""Text is split into sentences and words, in time linear in it."""

import random
import string
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.judges.builtin.grounding import index
from qualitrace_monitors.judges.builtin.toxicity import piece_buckets
from qualitrace_monitors.judges.local.text import LARGEST_SHARED, sentences, without_citations, words


def test_sentences_end_at_marks_and_lines_but_not_at_abbreviations():
    """Full stops, question marks, closing quotes, line breaks amid spaces; not Dr. and not J."""
    text = 'Dr. J. Hill came. "Really?" Yes  \n  - first\n\n2. second。第三！'
    assert list(sentences(text)) == ["Dr. J. Hill came.", '"Really?', "Yes", "first", "second。", "第三！"]


@given(st.text(alphabet="ab .\n\t!?\"'。[1]"))
def test_no_letter_is_lost(text: str):
    """Splitting takes away marks and spaces only."""
    assert "".join(sentences(text)).count("a") == text.count("a")


@pytest.mark.parametrize(
    "unit", [" ", "\n", " \n", "\t", ". ", '."', "Mr. ", "- ", "1.", "a'", "[](", "<p ", "= [1,2]", "\nSource: a\n- "]
)
def test_hostile_text_takes_no_longer_than_long_text(unit: str):
    """A hundred thousand characters of any repeated sign are read in a moment."""
    text = "a" + unit * (100_000 // len(unit)) + "b"
    started = time.process_time()
    sentences(text)
    words(text)
    without_citations(text, text, [text])
    without_citations(text[1:], text)
    assert time.process_time() - started < 2


def test_only_what_was_read_of_small_texts_is_kept():
    """Passages of an ordinary size are indexed once; large ones again each time, as a client could send many."""
    small, large = ("Oslo is large. " * 10,), ("Oslo is large. " * (LARGEST_SHARED // 30),) * 3
    assert index(small) is index(small)
    assert index(large) is not index(large)
    assert index(large) == index(large)


def test_hostile_words_fill_little_memory():
    """Words that never come again, of the greatest length that is remembered, take less than a kilobyte each."""
    letters = random.Random(1)
    text = " ".join("".join(letters.choices(string.ascii_lowercase, k=32)) for _ in range(500))
    tracemalloc.start()
    try:
        piece_buckets(text)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500 * 1000
