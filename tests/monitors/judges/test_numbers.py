"""Numbers are read by their value, however they are written."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualitrace_monitors.judges.local.normal import folded, unified
from qualitrace_monitors.judges.local.numbers import value_of_digits, value_of_han, value_of_words
from qualitrace_monitors.judges.local.text import words

CONVENTIONS = [
    (",", "."),
    (".", ","),
    (" ", ","),
    ("\u00a0", ","),
    ("\u202f", ","),
    ("'", "."),
    ("’", "."),
    ("", "."),
    ("", ","),
]
"""Grouping and decimal separators, as CLDR has them for English, German, French, Swiss German …"""
ZEROS = "0٠۰०০๐０"
"""The zeros of Latin, Arabic, Persian, Devanagari, Bengali, Thai and full-width digits; the others follow them."""
AMOUNTS = st.decimals(min_value=0, max_value=10**12, places=2)


def read(text: str) -> set[str]:
    """Return all values that the numbers of a text may have."""
    return {value for word in words(text) if word.number for value in (word.stem, *word.also)}


def written(amount: Decimal, grouping: str, decimal: str) -> str:
    whole, _, fraction = f"{amount:,}".partition(".")
    return whole.replace(",", grouping) + decimal + fraction


@given(amount=AMOUNTS, convention=st.sampled_from(CONVENTIONS), zero=st.sampled_from(ZEROS))
def test_an_amount_in_any_convention_and_script_has_its_value(amount: Decimal, convention: tuple[str, str], zero: str):
    """What is formatted and read back is the same number, and no other."""
    digits = str.maketrans("0123456789", "".join(chr(ord(zero) + place) for place in range(10)))
    assert {Decimal(value) for value in read(written(amount, *convention).translate(digits))} == {amount}


@given(value=st.integers(min_value=1000, max_value=10**15), grouping=st.sampled_from([",", ".", "'", " "]))
def test_a_grouped_whole_number_has_its_value_among_its_readings(value: int, grouping: str):
    """1.299 may be 1299 or a little more than one; either is a reading, and no other is."""
    text = f"{value:,}".replace(",", grouping)
    readings = value_of_digits(text)
    assert readings[0] == str(value)
    assert set(readings[1:]) <= {text.replace(grouping, ".").rstrip("0").rstrip(".")}


@given(value=st.integers(min_value=10**5, max_value=10**10))
def test_indian_grouping_has_its_value(value: int):
    """12,34,567 is 1234567."""
    head, tail = divmod(value, 1000)
    pairs = str(head)
    groups = [pairs[max(0, end - 2) : end] for end in range(len(pairs), 0, -2)][::-1]
    assert value_of_digits(",".join([*groups, f"{tail:03}"]))[0] == str(value)


_UP_TO_15 = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
ONES = [*_UP_TO_15, *"sixteen seventeen eighteen nineteen".split()]
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def spelled(value: int) -> str:
    """Write a number below a billion in English words."""
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            head, rest = divmod(value, size)
            joint = " and " if size == 100 else " "
            return f"{spelled(head)} {name}" + (joint + spelled(rest) if rest else "")
    return ONES[value] if value < 20 else TENS[value // 10] + (f"-{ONES[value % 10]}" if value % 10 else "")


@given(st.integers(min_value=2, max_value=10**9 - 1))
def test_english_number_words_have_their_value(value: int):
    """Up to a billion, with hyphens and "and"."""
    assert value_of_words(spelled(value)) == str(value)
    assert read(f"They sold {spelled(value)} tickets.") == {str(value)}


def in_han(value: int) -> str:
    """Write a number below ten thousand in Chinese characters, without the zeros between."""
    return "".join(
        "〇一二三四五六七八九"[digit] + power
        for digit, power in zip(map(int, f"{value:04}"), "千百十" + " ", strict=True)
        if digit
    ).strip()


@given(st.integers(min_value=1, max_value=9999), st.integers(min_value=1, max_value=9999))
def test_numbers_in_chinese_characters_have_their_value(thousands: int, rest: int):
    """By powers (二千二十四), by myriads (二万四千) and by place (二〇二四)."""
    assert value_of_han(in_han(rest)) == str(rest)
    assert value_of_han(f"{in_han(thousands)}万{in_han(rest)}") == str(thousands * 10_000 + rest)
    assert value_of_han("".join("〇一二三四五六七八九"[int(digit)] for digit in str(rest))) == str(rest)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1.2.3", {"1.2.3"}),
        ("192.168.1.1", {"192.168.1.1"}),
        ("2019 120 340", {"2019", "120", "340"}),
        ("10-12", {"10", "12"}),
        ("covid-19", {"19"}),
        ("-3 degrees", {"-3"}),
        ("$3bn", {"3000000000"}),
        ("5万", {"50000"}),
        ("no one came", set()),
        ("0.125", {"0.125"}),
        ("12 a.m.", {"0", "12"}),
        ("99.99.2024", {"99.99.2024"}),
    ],
)
def test_what_is_no_plain_number_is_left_as_it_is(text: str, values: set[str]):
    """Versions, addresses, cells of a table, ranges, and dates that there are not."""
    assert read(text) == values


@given(st.dates())
def test_a_date_is_the_same_words_in_any_form(day: date):
    """ISO's form, English day first and month first, and the Chinese and Japanese form."""
    if day.year < 1000 or day.year > 2099:
        day = day.replace(year=2024, day=min(day.day, 28))
    forms = [f"{day:%Y-%m-%d}", f"{day.day} {day:%B %Y}", f"{day:%B} {day.day}, {day.year}", f"{day:%Y年%m月%d日}"]
    assert {words(form) for form in forms} == {words(forms[0])}
    assert [word.stem for word in words(forms[0])][::2] == [str(day.year), str(day.day)]


@given(st.text())
def test_to_unify_twice_is_to_unify_once(text: str):
    """The unified form is stable, so that it does not matter who unified first."""
    once = unified(text)
    assert unified(once) == once


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("ΑΘΗΝΑ", "Αθήνα"),
        ("İSTANBUL", "istanbul"),
        ("مـــدة", "مدة"),
        ("أحمد", "احمد"),
        ("کتاب", "كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("ёлка", "елка"),
        ("ｃａｆｅ\u0301", "café"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_words_that_a_reader_takes_for_the_same_are_the_same(one: str, other: str):
    """Case, optional marks, stretched and full-width letters make no difference."""
    assert folded(unified(one)) == folded(unified(other))


@pytest.mark.parametrize(("one", "other"), [("schon", "schön"), ("ma", "má"), ("का", "की"), ("и", "й")])
def test_marks_that_make_another_word_stay(one: str, other: str):
    """Umlauts, tones and vowel signs keep words apart."""
    assert folded(unified(one)) != folded(unified(other))
