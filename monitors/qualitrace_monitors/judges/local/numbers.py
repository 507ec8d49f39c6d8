"""Numbers by their value: 1,299.50, 1.299,50, 1 299,50, 1'299.50 and 1299.5 are one; so are 24, twenty-four and 二十四.

Texts are to be unified (`normal.unified`) first, which brings digits of all scripts to ASCII's. Spelled-out numbers
are read in English, Chinese and Japanese. Conventions: CLDR's decimal and grouping separators
(https://cldr.unicode.org/translation/number-currency-formats/number-symbols), the Indian grouping included.
"""

import re
from collections.abc import Iterable

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {
    word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)
}
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
NUMBER_WORDS = frozenset({*_SMALL, *_POWERS})
"""Words that an English number may start with."""
_MULTIPLIERS = _POWERS | {
    **{"k": 3, "m": 6, "b": 9, "mn": 6, "mln": 6, "bn": 9, "lakh": 5, "crore": 7},
    **{"百": 2, "千": 3, "万": 4, "萬": 4, "만": 4, "百万": 6, "千万": 7, "億": 8, "亿": 8, "억": 8},
}
"""What a number in digits is multiplied by when the word follows it, as powers of ten."""

_ONE_TO_NINE, _UP_TO_19 = "|".join(_UNITS[1:10]), "|".join(_UNITS)
_UP_TO_99 = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{_ONE_TO_NINE}))?|{_UP_TO_19})"
_UP_TO_999 = rf"(?:(?:(?:{_UP_TO_19}) )?hundred(?:(?: and)? {_UP_TO_99})?|{_UP_TO_99})"
_OF_THOUSANDS = rf"(?:(?:{_UP_TO_999} )?(?:thousand|million|billion|trillion))"
SPELLED = rf"(?i:\b(?:{_OF_THOUSANDS}(?: {_OF_THOUSANDS}){{0,3}}(?:(?: and)? {_UP_TO_999})?|{_UP_TO_999})\b)"
"""A pattern of English numbers in words; a lone "one" is among them."""

_GROUPED = r"\d{1,3}(?P<by>[,.'])\d{3}(?:(?P=by)\d{3})*(?!\d)(?:[.,]\d+)?(?![.,]?\d)"
_SPACED = r"(?<!\d )\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?! ?\d)"
_INDIAN = r"\d{1,2}(?:,\d{2})+,\d{3}(?!\d)(?:\.\d+)?"
DIGITS = rf"(?<!\d)-?(?:{_SPACED}|{_GROUPED}|{_INDIAN}|\d+(?:[.,:]\d+)*)"
"""A pattern of numbers in digits.

Numbers side by side, as in a table, are not taken for one whose groups stand apart.
"""

MULTIPLIER = r"(?i: ?(?:thousand|million|billion|trillion|mn|mln|bn|lakh|crore)\b|k\b|[百千万萬]{1,2}|[億亿만억])"
"""A pattern of what follows a number in digits and multiplies it."""

_HAN_DIGITS = {character: value for value, character in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2, "兩": 2}
_HAN_POWERS = {"十": 1, "百": 2, "千": 3}
_HAN_LARGE = {"万": 4, "萬": 4, "億": 8, "亿": 8}
_HAN = "".join([*_HAN_DIGITS, *_HAN_POWERS, *_HAN_LARGE])
HAN = rf"(?:[{_HAN}]{{2,24}}|[{_HAN}](?=[個个箇か年月日天歳岁元円人名点點时時分秒度%]))"
"""A pattern of numbers in Chinese characters; one alone counts only before what is counted by it."""


def value_of_digits(literal: str, multiplier: str = "") -> tuple[str, ...]:
    """Return the values that a number in digits may have, the likeliest first.

    One separator before three digits may group or be decimal: 1.299 is 1299 or 1.299. What is no number in any
    convention, such as a version (1.2.3), stays as it is.
    """
    sign, digits = ("-", literal[1:]) if literal.startswith("-") else ("", literal)
    power = _MULTIPLIERS.get(multiplier.strip().lower(), 0)
    return tuple(sign + _shifted(whole, fraction, power) for whole, fraction in _readings(digits))


def _readings(digits: str) -> Iterable[tuple[str, str]]:
    """Yield the ways to read digits with separators, each as the digits before and after the decimal separator."""
    separators = re.findall(r"\D", digits)
    groups = re.split(r"\D", digits)
    if not separators:
        return [(digits, "")]
    last, others = separators[-1], set(separators[:-1])
    if ":" in separators:
        return [(digits, "")]
    if not others:
        return _with_one_separator(last, *groups)
    if last not in others and len(others) == 1 and _are_groups(groups[:-1]):
        return [("".join(groups[:-1]), groups[-1])]
    if others == {last} and _are_groups(groups):
        return [("".join(groups), "")]
    return [(digits, "")]


def _with_one_separator(separator: str, before: str, after: str) -> list[tuple[str, str]]:
    grouped, decimal = (before + after, ""), (before, after)
    if separator in "' ":
        return [grouped]
    if len(after) != 3 or len(before) > 3 or before.startswith("0"):
        return [decimal]
    return [grouped, decimal]


def _are_groups(groups: list[str]) -> bool:
    """Whether groups of digits are those of one number: of three, or as in India of two before the last three."""
    first, *middle, last = groups
    same = {len(group) for group in middle} <= {3} or {len(group) for group in middle} == {2}
    return 1 <= len(first) <= 3 and len(last) == 3 and same


def _shifted(whole: str, fraction: str, power: int) -> str:
    """Write a decimal number times a power of ten without needless zeros."""
    fraction = fraction.ljust(power, "0")
    whole, fraction = whole + fraction[:power], fraction[power:].rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def value_of_words(spelled: str) -> str:
    """Return the value of an English number in words, such as "two thousand and twenty-four"."""
    total = current = 0
    for word in re.findall(r"[a-z]+", spelled.lower()):
        if word == "hundred":
            current = (current or 1) * 100
        elif word in _POWERS:
            total, current = total + (current or 1) * 10 ** _POWERS[word], 0
        else:
            current += _SMALL.get(word, 0)
    return str(total + current)


def value_of_han(characters: str) -> str:
    """Return the value of a number in Chinese characters: by place (二〇二四) or by powers (二千二十四)."""
    if all(character in _HAN_DIGITS for character in characters):
        return "".join(str(_HAN_DIGITS[character]) for character in characters).lstrip("0") or "0"
    total = section = digit = 0
    for character in characters:
        if character in _HAN_DIGITS:
            digit = _HAN_DIGITS[character]
        elif character in _HAN_POWERS:
            section, digit = section + (digit or 1) * 10 ** _HAN_POWERS[character], 0
        else:
            total, section, digit = total + (section + digit or 1) * 10 ** _HAN_LARGE[character], 0, 0
    return str(total + section + digit)
