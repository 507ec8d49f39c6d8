"""The handbook and its index: right passages from a fresh index, wrong ones from a stale one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.demo.answers import answer
from qualitrace_monitors.demo.retrieval import Index, load_handbook
from qualitrace_monitors.demo.words import content_words, main_phrase, sentences

HANDBOOK = load_handbook()


def _passage(question: str) -> str:
    return HANDBOOK.passages[HANDBOOK.titles.index(HANDBOOK.questions[question])]


def test_handbook_covers_its_questions() -> None:
    """There are enough passages and questions, every passage has a question, and no title stands twice."""
    assert len(HANDBOOK.titles) == len(set(HANDBOOK.titles)) >= 12
    assert len(HANDBOOK.questions) >= 20
    assert set(HANDBOOK.questions.values()) == set(HANDBOOK.titles)


@pytest.mark.parametrize("question", HANDBOOK.questions)
def test_fresh_index_ranks_the_right_passage_first(question: str) -> None:
    """The passage that answers the question comes first, and the model answers with a sentence of it."""
    found = Index(HANDBOOK.passages).search(question)
    assert found[0] == _passage(question)
    assert answer(question, "\n\n".join(found)) in _passage(question)


@pytest.mark.parametrize("question", HANDBOOK.questions)
def test_stale_index_misses_the_right_passage(question: str) -> None:
    """A stale index returns passages, but not the one that answers, so the model makes its answer up."""
    index = Index(HANDBOOK.passages)
    index.stale = True
    found = index.search(question)
    assert found
    assert _passage(question) not in found
    assert answer(question, "\n\n".join(found)) not in "\n\n".join(HANDBOOK.passages)


def test_a_mended_index_is_as_good_as_new() -> None:
    """Making the index fresh again brings the first results back."""
    index = Index(HANDBOOK.passages)
    before = index.search("Are dogs welcome in the shop?")
    index.stale = True
    assert index.search("Are dogs welcome in the shop?") != before
    index.stale = False
    assert index.search("Are dogs welcome in the shop?") == before


def test_search_prefers_rare_words_and_returns_only_matches() -> None:
    """A word that few passages hold decides the rank, and a passage that shares no word is not returned."""
    index = Index(["red apples and red plums", "red apples and green pears", "blue berries"])
    assert index.search("green apples") == ["red apples and green pears", "red apples and red plums"]
    assert index.search("of the and") == []
    assert index.search("apples", limit=1) == ["red apples and red plums"]


@given(st.text())
def test_search_takes_any_query(query: str) -> None:
    """Any text is a query: at most three different passages of the handbook come back."""
    found = Index(HANDBOOK.passages).search(query)
    assert len(found) == len(set(found)) <= 3
    assert set(found) <= set(HANDBOOK.passages)


def test_words_meet_in_their_forms() -> None:
    """Forms of a word become equal, function words go, and sentences end at full stops and line breaks."""
    assert content_words("Renting the boots") == content_words("rented boot")
    assert content_words("what is it of") == []
    assert sentences("One. Two costs 4.90 euros!\nThree") == ["One.", "Two costs 4.90 euros!", "Three"]


def test_main_phrase_is_the_longest_run_of_meaning() -> None:
    """The longest run between function words is what a question is about; the first wins a tie."""
    assert main_phrase("How is the two-person tent with red poles?") == "two-person tent"
    assert main_phrase("Why is it?") == "Why"
    assert main_phrase("Is it?") == "Is it"
