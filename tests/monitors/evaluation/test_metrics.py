"""Metrics that compare with an expected answer: SQuAD's rules, and what is left to a model."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qualitrace_collector.sample import Sample
from qualitrace_monitors.evaluation.metrics import (
    EXPECTED,
    exact_match,
    judges_of,
    reference_judges,
    token_f1,
    token_recall,
    tokens,
)
from qualitrace_monitors.judges.contract import NotApplicable
from support.judge_model import judge_model

texts = st.text(alphabet="ab the,.1 ", max_size=30)


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [("The Eiffel Tower!", "eiffel tower", 1.0), ("an  apple", "Apple", 1.0), ("two", "2", 0.0), ("", "the", 1.0)],
)
def test_exact_match_looks_past_case_articles_punctuation_and_space(answer: str, expected: str, same: float):
    """As SQuAD's evaluation does, and no further: a number in words is another text."""
    assert exact_match(answer, expected) == same


def test_f1_of_a_known_pair():
    """Three of four tokens are shared with an expected answer of three: precision 3/4, recall 1."""
    assert token_f1("it lasts two years", "lasts two years") == pytest.approx(2 * 0.75 * 1 / 1.75)


@given(texts, texts)
def test_f1_is_symmetric_bounded_and_one_only_for_the_same_tokens(one: str, other: str):
    """The harmonic mean does not care which text is the expected one."""
    value = token_f1(one, other)
    assert value == pytest.approx(token_f1(other, one))
    assert 0 <= value <= 1
    assert (value == 1) == (sorted(tokens(one)) == sorted(tokens(other)))


@given(texts, texts)
def test_more_words_never_lower_recall(one: str, other: str):
    """A longer answer may hold more of what was expected, not less."""
    assume(tokens(one))
    assert token_recall(f"{one} {other}", one) == 1
    assert token_recall(f"{other} {one} {other}", one) >= token_recall(other, one)


def sample(answer: str, expected: str | None) -> Sample:
    return Sample(inputs="How long?", outputs=answer, metadata={} if expected is None else {EXPECTED: expected})


def test_without_a_model_half_an_answer_is_unsure():
    """All of the expected tokens pass, none fail, and between them no rule can decide."""
    correctness = reference_judges(None)[-1]
    labels = [
        correctness.score(sample(answer, "two whole years")).label for answer in ("two whole years.", "years", "no")
    ]
    assert labels == ["pass", "unsure", "fail"]


def test_a_row_without_target_is_not_applicable():
    """Nothing is guessed where there is nothing to compare with."""
    for judge in reference_judges(None):
        with pytest.raises(NotApplicable, match="no expected answer"):
            judge.score(sample("two years", None))


def test_a_model_is_shown_the_expected_answer():
    """With a model correctness is its verdict on question, answer and expected answer."""
    with judge_model() as (url, requests):
        judge = judges_of(None, (), True, "openai:/judge", url, 0.0)[-1]
        assert judge.score(sample("two pineapples", "two years")).label == "fail"
    prompt = requests[0]["messages"][-1]["content"]
    assert "two years" in prompt
    assert "How long?" in prompt
    assert requests[0]["temperature"] == 0.0
