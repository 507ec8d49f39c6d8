"""Groundedness and faithfulness: answers that rest on their passages pass, made-up and altered ones fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.contract import Judge, NotApplicable
from qualitrace_monitors.judges.settings import JudgeConfig

WARRANTY = (
    "Warranty. The warranty for every kettle lasts 24 months from the day of purchase. Repairs are free in that time."
)
RETURNS = (
    "Returns. Unused goods can be sent back within 30 days for a full refund. The customer does not pay the postage."
)
PARKING = "Parking. Visitors park on level 2 of the garage. The gate opens at 7:00 and closes at 22:00."
CANTEEN = "Canteen. Lunch is served from 11:30 to 14:00. Guests pay 6.50 euros and need no badge."

GROUNDEDNESS = build_judge(JudgeConfig(name="groundedness"))
FAITHFULNESS = build_judge(JudgeConfig(name="faithfulness"))
BOTH = pytest.mark.parametrize("judge", [GROUNDEDNESS, FAITHFULNESS], ids=lambda judge: judge.name)


def _label(judge: Judge, question: str, answer: str, *passages: str) -> str:
    return judge.score(Sample(inputs=question, outputs=answer, passages=passages)).label


@BOTH
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long does the warranty last?", "The warranty lasts 24 months."),
        ("How long does the warranty last?", "24 months."),
        ("How long is the warranty on a kettle?", "The warranty for kettles is 24 months from the day of purchase."),
        ("When can I return goods?", "You can send unused goods back within 30 days for a full refund."),
        ("Are repairs free?", "Yes, repairs are free in that time."),
        ("When is lunch served?", "Lunch is served from 11:30 to 14:00. Let me know if you have other questions!"),
        ("What does lunch cost for guests?", "1. Guests pay 6.50 euros [4].\n2. They need no badge [4]."),
        ("When does the gate open?", "The gate opens at 7 and closes at 22."),
        ("保証期間は?", "保証期間は二十四か月です。"),
    ],
)
def test_answers_from_the_passages_pass(judge: Judge, question: str, answer: str) -> None:
    """A right answer passes, be it short, reworded, with list and citation marks, with courtesies, or in Japanese."""
    passages = (PARKING, WARRANTY, RETURNS, CANTEEN, "保証期間は二十四か月です。修理は無料です。")
    assert _label(judge, question, answer, *passages) == "pass"


@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        "24 months [1, 3].",
        "24 months [doc4].",
        "24 months (Source 4).",
        "24 months【4:0†handbook.md】.",
        "[24 months](https://shop.example/help/warranty-2)",
        '```json\n{"answer": "24 months"}\n```',
        "<p>It lasts <b>24&nbsp;months</b>.</p>",
        "<ul><li>It lasts</li><li>24 months</li></ul>",
        "It lasts 24 months.\n\nSources:\n- handbook.md\n- [Help](https://shop.example/help)\n",
        "It lasts 24 months.\n\n---\n*Source: handbook.md, page 3*",
        "It lasts 24 months.\n\n**References:**\n1. The handbook of Brightwater, 2019",
    ],
)
def test_marks_of_sources_addresses_and_fences_claim_nothing(judge: Judge, answer: str) -> None:
    """Their numbers and words stand in no passage."""
    assert _label(judge, "How long does the warranty last?", answer, WARRANTY, RETURNS) == "pass"
    assert _label(judge, "How long does the warranty last?", answer.replace("24", "18"), WARRANTY, RETURNS) == "fail"


@BOTH
@pytest.mark.parametrize(
    ("question", "right", "wrong", "passage"),
    [
        ("What does it print?", "It prints [1, 2, 3].", "It prints [1, 2, 4].", "The loop prints the list [1, 2, 3]."),
        ("What may I enter?", "Numbers in [10, 50].", "Numbers in [10, 60].", "Enter numbers in [10, 50] there."),
        ("What is the output?", "[1, 2, 3]", "[1, 2, 4]", "The output is 1, 2, 3."),
        ("What are the sources of income?", "Sources: rents", "Sources: 40 lotteries", "Sources of income are rents."),
        ("Which tag makes a list?", "<ul>", "<ol>", "In HTML <ul> makes a list."),
    ],
)
def test_numbers_in_brackets_sources_and_tags_may_be_the_answer(
    judge: Judge, question: str, right: str, wrong: str, passage: str
) -> None:
    """What only looks like a mark of sources or layout is judged: a wrong one does not pass."""
    assert _label(judge, question, right, passage) == "pass"
    assert _label(judge, question, wrong, passage) != "pass"


@BOTH
@pytest.mark.parametrize(
    ("wish", "answer"),
    [
        ("Cite your sources.", "It lasts 24 months.\n\nSources:\n- handbook.md\n- help.md"),
        ("Answer in HTML.", "<p>It lasts <b>24 months</b>.</p>"),
    ],
)
def test_sources_and_tags_that_the_question_wants_claim_nothing(judge: Judge, wish: str, answer: str) -> None:
    """They are not what the passages are about."""
    assert _label(judge, f"How long does the warranty last? {wish}", answer, WARRANTY, RETURNS) == "pass"


@BOTH
def test_marks_of_sources_are_known_where_passages_have_them_as_well(judge: Judge) -> None:
    """Passages of papers cite others; after other words than in the answer, that makes no list of its marks."""
    passage = "The warranty of the tent lasts 24 months, as was shown before [12, 13]."
    assert _label(judge, "How long does the warranty last?", "24 months [1, 2].", passage) == "pass"


@BOTH
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How long does the warranty last?", "The warranty lasts 18 months and covers water damage."),
        ("How long does the warranty last?", "18 months."),
        ("When can I return goods?", "Returns are accepted for a fortnight if the receipt is signed by Mrs Oakley."),
        ("Who repairs the kettles?", "Brightwater Services in Leeds repairs them at 40 pounds an hour."),
    ],
)
def test_made_up_answers_over_wrong_passages_fail(judge: Judge, question: str, answer: str) -> None:
    """When retrieval brings the wrong passages, an answer that is made up fails."""
    assert _label(judge, question, answer, PARKING, CANTEEN) == "fail"


@BOTH
@pytest.mark.parametrize(
    ("right", "altered"),
    [
        ("The warranty lasts 24 months from purchase.", "The warranty lasts 36 months from purchase."),
        ("Guests pay 6.50 euros.", "Guests pay 9.50 euros."),
        ("Visitors park on level 2.", "Visitors park on level 5."),
    ],
)
def test_an_altered_number_fails(judge: Judge, right: str, altered: str) -> None:
    """One number changed in a sentence of the passages turns a pass into a fail."""
    passages = (WARRANTY, CANTEEN, PARKING)
    assert (_label(judge, "", right, *passages), _label(judge, "", altered, *passages)) == ("pass", "fail")


def test_faithfulness_sees_a_negation_where_groundedness_does_not() -> None:
    """An answer that denies its source is less faithful than one that repeats it."""
    same = Sample(outputs="The customer does not pay the postage.", passages=(RETURNS,))
    denied = Sample(outputs="The customer does pay the postage.", passages=(RETURNS,))
    assert FAITHFULNESS.score(same).label == "pass"
    assert FAITHFULNESS.score(denied).label != "pass"


def test_faithfulness_wants_a_claim_to_hold_together() -> None:
    """Words gathered from different passages are less faithful than the same words from one."""
    mixed = Sample(
        outputs="Unused kettles park on level 2 until lunch.", passages=(WARRANTY, RETURNS, PARKING, CANTEEN)
    )
    assert FAITHFULNESS.score(mixed).value < GROUNDEDNESS.score(mixed).value


def test_one_made_up_sentence_spoils_an_answer_and_is_quoted() -> None:
    """The rationale quotes the sentence that has no support, cut to 160 characters, and names what is missing."""
    invention = "Premium members of Goldleaf receive 77 vouchers " + "and more " * 40
    score = GROUNDEDNESS.score(Sample(outputs=f"The warranty lasts 24 months. {invention}.", passages=(WARRANTY,)))
    assert score.label != "pass"
    quoted = score.rationale.split("“")[1].split("”")[0]
    assert quoted.startswith("Premium members of Goldleaf")
    assert len(quoted) <= 160
    assert "77" in score.rationale.split("not found there:")[1]


@BOTH
@pytest.mark.parametrize(
    "answer", ["I don't know.", "The documents do not mention the price.", "Sorry, I can't help with that."]
)
def test_an_answer_that_only_declines_is_grounded(judge: Judge, answer: str) -> None:
    """To say that one does not know claims nothing, so it cannot be made up."""
    assert _label(judge, "What does it cost?", answer, PARKING) == "pass"


@BOTH
@pytest.mark.parametrize("answer", ["Yes.", "How can I help you?", "!!!"])
def test_an_answer_without_a_claim_is_unsure(judge: Judge, answer: str) -> None:
    """An answer that neither claims nor declines gives no evidence either way."""
    assert _label(judge, "Is it free?", answer, PARKING) == "unsure"


@BOTH
@pytest.mark.parametrize(
    "sample",
    [Sample(outputs="It is free."), Sample(outputs="It is free.", passages=(" ",)), Sample(passages=(PARKING,))],
)
def test_without_passages_or_answer_they_do_not_apply(judge: Judge, sample: Sample) -> None:
    """Neither judge guesses when there is nothing to compare."""
    with pytest.raises(NotApplicable):
        judge.score(sample)


PROSE = st.lists(st.sampled_from(f"{WARRANTY} {RETURNS} {PARKING} zebra 99 Oslo not".split()), max_size=25).map(
    " ".join
)


@BOTH
@given(passages=st.permutations([WARRANTY, RETURNS, PARKING, CANTEEN]), answer=PROSE.filter(str.strip))
def test_the_order_of_passages_does_not_matter(judge: Judge, passages: list[str], answer: str) -> None:
    """Any order of the same passages gives the same value."""
    expected = judge.score(Sample(outputs=answer, passages=(WARRANTY, RETURNS, PARKING, CANTEEN))).value
    assert judge.score(Sample(outputs=answer, passages=tuple(passages))).value == expected


@given(
    answer=PROSE.filter(str.strip) | st.text(min_size=1, max_size=80).filter(str.strip),
    passages=st.lists(PROSE, max_size=3),
)
def test_a_passage_that_says_it_never_lowers_groundedness(answer: str, passages: list[str]) -> None:
    """Adding the answer itself to the passages raises the value or leaves it."""
    before = GROUNDEDNESS.score(Sample(outputs=answer, passages=("other", *passages))).value
    after = GROUNDEDNESS.score(Sample(outputs=answer, passages=("other", *passages, answer))).value
    assert after >= before
