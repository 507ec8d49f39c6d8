"""Relevance: answers that speak to the question pass, those that speak of something else or decline fail."""

import pytest

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.settings import JudgeConfig

RELEVANCE = build_judge(JudgeConfig(name="relevance"))


def _label(question: str, answer: str) -> str:
    return RELEVANCE.score(Sample(inputs=question, outputs=answer)).label


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long does the warranty last?", "The warranty lasts 24 months."),
        ("How long does the warranty last?", "24 months."),
        ("When does the gate close?", "At midnight."),
        ("Who repairs the kettles?", "Brightwater Services."),
        ("Is parking free for visitors?", "Yes, on level 2."),
        ("Where is the office?", "In Dunmore, near the river."),
        ("How do I reset my password?", "Open the profile page, choose security and follow the password reset link."),
        ("Does a low sodium diet lower blood pressure?", "In this trial BP fell when people kept to an LSD plan."),
    ],
)
def test_answers_to_the_question_pass(question: str, answer: str) -> None:
    """An answer passes that takes up the question's words, their acronym, or is short and of the kind asked for."""
    assert _label(question, answer) == "pass"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            "How long does the warranty last?",
            "Visitors park on level B of the garage near the main entrance hall by the river.",
        ),
        ("How long does the warranty last?", "Chestnut trees."),
        ("Who repairs the kettles?", "in spring"),
        (
            "How do I reset my password?",
            "Lunch is served from half past eleven, and guests of the house pay at the till in cash.",
        ),
    ],
)
def test_answers_to_another_question_fail(question: str, answer: str) -> None:
    """An answer fails that shares nothing with the question, or is not of the kind asked for."""
    assert _label(question, answer) == "fail"


@pytest.mark.parametrize(
    "answer", ["I don't know.", "I'm sorry, but I can't help with that.", "I am not sure. I couldn't find it."]
)
def test_to_decline_is_no_answer(answer: str) -> None:
    """An answer that only declines fails, however politely."""
    assert _label("How long does the warranty last?", answer) == "fail"


@pytest.mark.parametrize(
    "answer",
    [
        "Jane Calloway.",
        "It was penned by Jane Calloway, a novelist.",
        "Sure! Calloway did.",
        "It was Martin van der Lake",
        "1815, Jane Calloway",
        "8 Harbour Lane, Dunmore",
        "The answer is: Calloway",
    ],
)
def test_a_name_that_was_asked_for_may_stand_alone_or_in_a_sentence_that_is_about_it(answer: str) -> None:
    """Beside a name, such an answer says little that the question did not."""
    assert _label("Who wrote The Lantern?", answer) == "pass"


@pytest.mark.parametrize(
    "answer",
    [
        "Lunch starts at noon.",
        "Parking is free on weekends.",
        "The cafeteria opens its doors near Dunmore station.",
        "Hello! How can I help?",
        "The Lantern is a nice book.",
        "THE KETTLE IS BLUE.",
    ],
)
def test_a_capital_letter_alone_is_no_name_that_was_asked_for(answer: str) -> None:
    """Words that open a sentence, that the question has, or that stand among others may be anything."""
    assert _label("Who wrote The Lantern?", answer) == "unsure"


@pytest.mark.parametrize("answer", ["On Monday.", "12 April 2024", "In March.", "It has 300 pages."])
def test_a_date_or_a_number_is_no_name(answer: str) -> None:
    """Names of days and months are capitalised, too."""
    assert _label("Who wrote The Lantern?", answer) == "fail"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where do I find the form?", "At the bottom of the page."),
        ("Where is my parcel?", "It is still on its way."),
        ("who runs the depot?", "ada calloway"),
    ],
)
def test_not_every_name_has_a_capital(question: str, answer: str) -> None:
    """A place may have no name, and who writes in lower case is answered so."""
    assert _label(question, answer) == "unsure"


def test_the_number_of_a_source_is_no_number_that_was_asked_for() -> None:
    """Nor is one in the address of a link."""
    for mark in ("[1]", "[1, 2]", "[doc1]", "(Source 3)", "【4:0†hours.md】", "[here](https://example.com/2024)"):
        assert _label("How long does the warranty last?", f"Chestnut trees {mark}.") == "fail", mark


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the output?", "[1, 2, 3]"),
        ("Which document must I file?", "(Document 12)"),
        ("Which element starts a list?", "<ul>"),
        ("How long does the warranty last?", "Source: handbook.md says 24 months."),
        ("What are the sources of income?", "We have two.\n\nSources:\n- rents\n- dividends"),
        ("How does <table> differ from <div>?", "<table> holds rows, <div> is a block."),
    ],
)
def test_what_only_looks_like_marks_is_an_answer(question: str, answer: str) -> None:
    """To take it away would leave an answer that declines, or says nothing of what was asked."""
    assert _label(question, answer) != "fail"


def test_a_short_answer_of_no_known_kind_is_unsure() -> None:
    """A short answer to a what-question may be right without sharing a word."""
    assert _label("What is the gatekeeper's favourite dish?", "Potato soup") == "unsure"


@pytest.mark.parametrize(
    ("sample", "missing"), [(Sample(outputs="24"), "inputs"), (Sample(inputs="How long?"), "outputs")]
)
def test_without_question_or_answer_it_does_not_apply(sample: Sample, missing: str) -> None:
    """The judge says which of the two is missing."""
    with pytest.raises(NotApplicable, match=missing):
        RELEVANCE.score(sample)


@pytest.mark.parametrize("answer", ["Usually, yes.", "Of course.", "You can, within 30 days.", "Unfortunately not."])
def test_yes_and_no_have_many_words(answer: str) -> None:
    """A yes or no may stand anywhere in the first sentence, and be said without either word."""
    assert _label("Can I return the tent?", answer) == "pass"
