"""Local judges and other languages: what needs no language is compared by value, of all else they are unsure."""

import pytest

from qualitrace_collector.sample import Message, Sample
from qualitrace_monitors.judges.build import build_judge
from qualitrace_monitors.judges.local.language import is_all_english, is_english
from qualitrace_monitors.judges.local.text import MAX_ANSWER, MAX_PASSAGES
from qualitrace_monitors.judges.settings import METRICS, JudgeConfig

JUDGES = {name: build_judge(JudgeConfig(name=name)) for name in METRICS}
GROUNDING = pytest.mark.parametrize("metric", ["groundedness", "faithfulness"])


def label(metric: str, output: str, *passages: str, question: str = "", conversation: tuple[Message, ...] = ()) -> str:
    sample = Sample(inputs=question, outputs=output, passages=passages, conversation=conversation)
    return JUDGES[metric].score(sample).label


SENTENCES = {
    "French": ("La piscine est ouverte le lundi.", "La piscine n'est pas ouverte le lundi."),
    "Spanish": ("La piscina abre los lunes.", "La piscina no abre los lunes."),
    "Portuguese": ("A piscina abre às segundas-feiras.", "A piscina não abre às segundas-feiras."),
    "Italian": ("La piscina è aperta il lunedì.", "La piscina non è aperta il lunedì."),
    "German": ("Das Bad hat montags geöffnet.", "Das Bad hat montags nicht geöffnet."),
    "Dutch": ("Het zwembad is op maandag open.", "Het zwembad is op maandag niet open."),
    "Polish": ("Basen jest otwarty w poniedziałki.", "Basen nie jest otwarty w poniedziałki."),
    "Swedish": ("Badet är öppet på måndagar.", "Badet är inte öppet på måndagar."),
    "Turkish": ("Havuz pazartesi günleri açıktır.", "Havuz pazartesi günleri açık değildir."),
    "Vietnamese": ("Hồ bơi mở cửa vào thứ hai.", "Hồ bơi không mở cửa vào thứ hai."),
    "Indonesian": ("Kolam renang buka pada hari Senin.", "Kolam renang tidak buka pada hari Senin."),
    "Russian": ("Бассейн открыт по понедельникам.", "Бассейн не открыт по понедельникам."),
    "Greek": ("Η πισίνα είναι ανοιχτή τη Δευτέρα.", "Η πισίνα δεν είναι ανοιχτή τη Δευτέρα."),
    "Hindi": ("तरणताल सोमवार को खुला है।", "तरणताल सोमवार को खुला नहीं है।"),
    "Hebrew": ("הבריכה פתוחה ביום שני.", "הבריכה אינה פתוחה ביום שני."),
    "Arabic": ("المسبح مفتوح يوم الاثنين.", "المسبح ليس مفتوحا يوم الاثنين."),
    "Persian": ("استخر دوشنبه‌ها باز است.", "استخر دوشنبه‌ها باز نیست."),
    "Chinese": ("游泳池星期一开放。", "游泳池星期一不开放。"),
    "traditional Chinese": ("游泳池星期一開放。", "游泳池星期一不開放。"),
    "Japanese": ("プールは月曜日に開いています。", "プールは月曜日に開いていません。"),
    "Korean": ("수영장은 월요일에 엽니다.", "수영장은 월요일에 열지 않습니다."),
    "Thai": ("สระว่ายน้ำเปิดวันจันทร์", "สระว่ายน้ำไม่เปิดวันจันทร์"),
}
EVERY_LANGUAGE = pytest.mark.parametrize(("affirmed", "denied"), SENTENCES.values(), ids=SENTENCES)


@EVERY_LANGUAGE
def test_other_languages_are_told_from_english(affirmed: str, denied: str):
    """A sentence in another language is not English, nor is an English text that holds it."""
    assert not is_english(affirmed)
    assert not is_english(denied, beside="Is the pool open on Mondays?")
    assert not is_all_english(f"Thank you for your question about the opening hours. {denied} Have a nice day!")


@pytest.mark.parametrize(
    "text",
    [
        "The pool is open on Mondays.",
        "24 months.",
        "Yes.",
        "Tokyo (東京) has 14 million people.",
        "Call us at 9!",
        "2 kg",
    ],
)
def test_english_is_known_as_such(text: str):
    """Short texts, numbers and a name in its own script do not make English foreign."""
    assert is_english(text)


def test_a_short_text_is_in_the_language_beside_it():
    """A name or a dish shows no language of its own: the question's counts."""
    assert is_english("Potato soup", beside="What is the dish of the day?")
    assert is_english("Palacio de los Deportes", beside="Where was the concert held?")
    assert not is_english("Okay", beside="Ist das Bad am Montag geöffnet?")


@GROUNDING
@EVERY_LANGUAGE
def test_a_denied_passage_never_passes(metric: str, affirmed: str, denied: str):
    """One word turns the sentence round; a judge that does not know the word must not pass it, either way."""
    assert label(metric, denied, affirmed) != "pass"
    assert label(metric, affirmed, denied) != "pass"


@GROUNDING
@EVERY_LANGUAGE
def test_a_passage_repeated_word_for_word_passes(metric: str, affirmed: str, denied: str):
    """To say exactly what a passage says takes no knowledge of the language."""
    assert label(metric, affirmed, f"{denied}\n{affirmed}") == "pass"


@GROUNDING
@EVERY_LANGUAGE
def test_an_answer_in_another_language_than_its_passage_does_not_fail(metric: str, affirmed: str, denied: str):
    """What an English answer says may stand in a passage that the judge cannot read, and the other way round."""
    assert label(metric, "The pool is open on Mondays.", affirmed) == "unsure"
    assert label(metric, affirmed, "The pool is open on Mondays.") == "unsure"


@GROUNDING
@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("保修期为二十四个月，自购买之日起。", "保修期为24个月。"),
        ("الضمان ٢٤ شهرا من تاريخ الشراء.", "الضمان 24 شهرا."),
        ("الضَّمَانُ أربعة وعشرون شهرًا.", "الضمان اربعة وعشرون شهرا."),
        ("वारंटी २४ महीने तक चलती है।", "वारंटी 24 महीने की है।"),
        ("Gwarancja trwa dwadzieścia cztery miesiące.", "Gwarancja trwa 24 miesiące."),
        ("Le vélo coûte 1 299,50 €.", "Le vélo coûte 1299,50 euros."),
        ("Das Fahrrad kostet 1'299.50 Franken.", "Das Fahrrad kostet 1299,50 Franken."),
        ("Der Laden öffnete am 3. März 2024.", "Der Laden öffnete am 03.03.2024."),
        ("Der Rabatt beträgt 10 Prozent.", "Der Rabatt beträgt 10 %."),
    ],
)
def test_another_form_of_the_same_does_not_fail(metric: str, passage: str, answer: str):
    """Digits, number words, separators, dates, units and vowel signs differ; what is said does not."""
    assert label(metric, answer, passage) != "fail"


@GROUNDING
@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("保证期为24个月。", "保证期为12个月。"),
        ("مدة الضمان ٢٤ شهرا فقط.", "مدة الضمان 12 شهرا فقط."),
        ("Garantin gäller 24 månader.", "Garantin gäller 12 månader."),
        ("Гарантия действует 24 месяца.", "Гарантия действует 36 месяца."),
    ],
)
def test_another_number_in_the_same_place_fails(metric: str, passage: str, answer: str):
    """Between the same two words stands another number, which is nowhere in the passages: wrong in any language."""
    assert label(metric, answer, passage) == "fail"


@GROUNDING
@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("The bike costs $2,450.75.", "The bike costs 2450.75 dollars."),
        ("The bike costs €2.450,75.", "The bike costs 2,450.75 euros."),
        ("The bike costs 2 450 EUR.", "The bike costs €2,450."),
        ("The fund holds $8.2m.", "The fund holds $8.2 million."),
        ("The lake holds 1,500,000 litres.", "The lake holds 1.5 million litres."),
        ("The course takes thirty-six months.", "The course takes 36 months."),
        ("The share is 15 per cent.", "The share is 15%."),
        ("The parcel weighs 3.5 kilograms.", "The parcel weighs 3.5kg."),
        ("The parcel weighs ３．５ kg.", "The parcel weighs 3.5 kg."),
        ("The rope is 2½ m long.", "The rope is 2.5 metres long."),
        ("The fair began on 2023-07-09.", "The fair began on July 9, 2023."),
        ("The fair began on July 9th, 2023.", "The fair began on 9 Jul 2023."),
        ("The fair began on 09/07/2023.", "The fair began on July 9, 2023."),
        ("The bar opens at 6:30 PM.", "The bar opens at 18:30."),
        ("The bar opens at 18:00.", "The bar opens at 6 p.m."),
        ("The room is on the fourth floor.", "The room is on the 4th floor."),
        ("It’s minus weather: −7 °C.", "It's minus weather: -7°C."),
        ("The cafe\u0301 sells so\u00adda.", "The café sells soda."),
    ],
)
def test_english_answers_pass_whatever_the_form_of_their_numbers(metric: str, passage: str, answer: str):
    """Separators, words, units, currencies, dates and times are compared by what they mean."""
    assert label(metric, answer, passage) == "pass"


@GROUNDING
@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("The bike costs $2,450.75.", "The bike costs $2,540.75."),
        ("The bike costs $2,450.", "The bike costs €2,450."),
        ("The course takes 36 months.", "The course takes 36 days."),
        ("The parcel weighs 3.5 kg.", "The parcel weighs 3.5 g."),
        ("The fund holds $8.2 million.", "The fund holds $8.2 billion."),
        ("The fair began on July 9, 2023.", "The fair began on July 8, 2023."),
        ("The bar opens at 6 pm.", "The bar opens at 6 am."),
        ("The bar opens at 7:00.", "The bar opens at 19:00."),
        ("It was -7 °C.", "It was 7 °C."),
    ],
)
def test_english_answers_with_another_quantity_do_not_pass(metric: str, passage: str, answer: str):
    """Another value, unit, currency, day, half of the day or sign is another answer."""
    assert label(metric, answer, passage) != "pass"


@pytest.mark.parametrize(
    ("passage", "answer"),
    [
        ("The pool is open on Mondays.", "The pool isn’t open on Mondays."),
        ("Dogs are allowed in the garden.", "Dogs are never allowed in the garden."),
        ("Smoking is not permitted.", "Smoking is permitted."),
        ("The house has a lift.", "The house has no lift."),
    ],
)
def test_an_english_negation_fails_faithfulness_and_does_not_pass_groundedness(passage: str, answer: str):
    """The words agree, and what they say is the opposite."""
    assert label("faithfulness", answer, passage) == "fail"
    assert label("groundedness", answer, passage) != "pass"


def test_a_word_that_only_looks_like_a_negation_denies_nothing():
    """Neither "notation", whose stem is "not", nor a "no" that answers the question."""
    assert label("faithfulness", "Music uses notation for tones.", "Music uses notation for tones and rests.") == "pass"
    assert label("groundedness", "No, it has a lift.", "It has a lift.") == "pass"
    assert label("groundedness", "No one has a lift.", "One has a lift.") != "pass"


@EVERY_LANGUAGE
@pytest.mark.parametrize("metric", ["relevance", "refusal", "safety", "toxicity", "prompt_injection"])
def test_judges_by_english_words_are_unsure_of_other_languages(metric: str, affirmed: str, denied: str):
    """A refusal, an insult or an order would not show in them, so there is no pass; nor is there a fail."""
    assert label(metric, affirmed, question=denied) == "unsure"


@pytest.mark.parametrize(
    "insult",
    ["Tu es un imbécile, dégage.", "Jij bent een domme klootzak.", "Ты полный идиот.", "你是个白痴。", "أنت أحمق."],
)
def test_insults_in_other_languages_do_not_pass(insult: str):
    """Alone, after an English question, or in the midst of English."""
    assert label("toxicity", insult) != "pass"
    assert label("toxicity", insult, question="How are you today?") != "pass"
    assert label("toxicity", f"The weather is fine today. {insult} The sun shines.") != "pass"


def test_hidden_letters_do_not_hide_an_insult():
    """Full-width letters and zero-width spaces are read as a person reads them."""
    assert label("toxicity", "You are a ｓｔｕｐｉｄ worthless id\u200biot.") == "fail"


@pytest.mark.parametrize(
    "refusal",
    [
        "I’m unable to assist with this.",
        "I must decline.",
        "I can’t help you there.",
        "I refuse to answer.",
        "I would rather not discuss it.",
        "That is not something I can support.",
        "I'm not going to write that.",
    ],
)
def test_refusals_are_found_whatever_their_apostrophe(refusal: str):
    """As a model's own refusal field words them."""
    assert label("refusal", refusal, question="How do I open a lock?") == "fail"


ASKED = (
    Message(role="user", content="Do you rent out bikes?"),
    Message(
        role="assistant", content="Yes: a city bike or a mountain bike. Which one would you like, and for how long?"
    ),
)


@pytest.mark.parametrize(
    "turn",
    [
        "the second one",
        "yes",
        "3",
        "and for children?",
        "what about the big ones?",
        "ok",
        "the blue one in size large, please",
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        "The mountain bike is yours for three days; please pay the deposit at the desk when you fetch it from us.",
        "Very well, everything has been noted down, and our colleague at the desk will be expecting you in the morning.",
    ],
)
def test_a_short_turn_is_read_with_the_turns_before_it(turn: str, answer: str):
    """An answer that continues the conversation is not failed for sharing no word with "the second one"."""
    assert label("relevance", answer, question=turn, conversation=ASKED) != "fail"


def test_words_of_the_turns_before_make_an_answer_to_a_short_turn_pass():
    """The turn before asked which bike; the answer speaks of it."""
    answer = "The mountain bike is yours for three days; please pay the deposit at the desk when you fetch it from us."
    assert label("relevance", answer, question="the second one", conversation=ASKED) == "pass"


def test_a_question_of_its_own_is_judged_without_the_turns_before():
    """An answer about bikes is none to a question about lunch, whatever was spoken of before."""
    answer = "The mountain bike is yours for three days; please pay the deposit at the desk when you fetch it from us."
    question = "When does the canteen serve lunch on weekdays?"
    assert label("relevance", answer, question=question, conversation=ASKED) == "fail"


def test_to_decline_a_short_turn_is_no_answer():
    """The conversation excuses missing words, not a refusal."""
    assert label("relevance", "I'm sorry, I can't help with that.", question="yes", conversation=ASKED) == "fail"


LONG = "The pool is open on Mondays. " * (MAX_ANSWER // 29 + 2)
PASSAGE = "The pool is open on Mondays."


@pytest.mark.parametrize("metric", ["groundedness", "faithfulness", "safety", "toxicity", "pii"])
def test_the_start_of_an_answer_does_not_make_a_pass(metric: str):
    """The unseen rest may hold a made-up claim, an insult or an address; the rationale says so."""
    score = JUDGES[metric].score(Sample(inputs="When is the pool open?", outputs=LONG, passages=(PASSAGE,)))
    assert score.label == "unsure"
    assert "unseen rest of the outputs" in score.rationale


@GROUNDING
def test_what_may_stand_in_the_unseen_passages_is_no_fail(metric: str):
    """Passages that were cut may support the answer; whole ones do not."""
    answer = "The sauna costs 12 pounds an hour."
    assert label(metric, answer, PASSAGE) == "fail"
    assert label(metric, answer, PASSAGE * (MAX_PASSAGES // len(PASSAGE) + 2)) == "unsure"


def test_a_retrieval_is_not_failed_for_its_unseen_part():
    """The question's words may come later in a passage that was cut."""
    question = "How much is the sauna per hour?"
    assert label("retrieval_relevance", "", PASSAGE, question=question) == "fail"
    assert label("retrieval_relevance", "", LONG * 8, question=question) == "unsure"


def test_the_end_of_a_long_question_may_be_what_is_asked():
    """A question that was cut decides nothing about relevance."""
    assert label("relevance", "The pool is open on Mondays.", question=LONG + "How warm is the sauna?") == "unsure"


@pytest.mark.parametrize(
    ("metric", "start"),
    [
        ("toxicity", "You are a stupid worthless idiot. "),
        ("safety", "I will find and kill you. "),
        ("pii", "Her card is 4111 1111 1111 1111. "),
        ("refusal", "I'm sorry, but I can't help with that. "),
        ("groundedness", "Mrs Oakley of Leeds sells 77 vouchers in Bath. "),
    ],
)
def test_what_was_seen_and_cannot_be_repaired_still_fails(metric: str, start: str):
    """Nothing that follows takes back an insult, a threat, a leak, a refusal or a made-up claim."""
    filler = "Zebras run over golden hills. " * (MAX_ANSWER // 30 + 2)
    assert label(metric, start + filler, PASSAGE, question="When is the pool open?") == "fail"
