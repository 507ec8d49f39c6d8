"""Numbers by their value, dates and times in one order, units by one name, whatever their form.

1,299.50, 1.299,50, 1 299,50, 1'299.50 and 1299.5 are one number; so are 24, twenty-four and 二十四. Spelled-out numbers
are read in English, Chinese and Japanese. Conventions: CLDR's decimal and grouping separators
(https://cldr.unicode.org/translation/number-currency-formats/number-symbols), the Indian grouping included.

A date yields its year, its month by its English name and its day, so that `3 March 2024`, `March 3rd, 2024`,
`2024-03-03` and `2024年3月3日` are the same words; where day and month may be either, each may be both. A time yields
its hour (and minute) on the clock of 24 hours. Units are those of the International System and everyday English.

Texts must be unified (`normal.unified`) first, which brings the digits of all scripts to ASCII's.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from qualitrace_monitors.judges.local.normal import Word, stem

_BELOW_20 = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate(_BELOW_20)} | {
    word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)
}
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
NUMBER_WORDS = frozenset({*_SMALL, *_POWERS})  # words that an English number may start with
# Powers of ten by which the word after a number in digits multiplies it.
_MULTIPLIERS = _POWERS | {
    **{"k": 3, "m": 6, "b": 9, "mn": 6, "mln": 6, "bn": 9, "lakh": 5, "crore": 7},
    **{"百": 2, "千": 3, "万": 4, "萬": 4, "만": 4, "百万": 6, "千万": 7, "億": 8, "亿": 8, "억": 8},
}

_ONE_TO_NINE, _UP_TO_19 = "|".join(_BELOW_20[1:10]), "|".join(_BELOW_20)
_UP_TO_99 = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{_ONE_TO_NINE}))?|{_UP_TO_19})"
_UP_TO_999 = rf"(?:(?:(?:{_UP_TO_19}) )?hundred(?:(?: and)? {_UP_TO_99})?|{_UP_TO_99})"
_OF_THOUSANDS = rf"(?:(?:{_UP_TO_999} )?(?:thousand|million|billion|trillion))"
# A pattern of English numbers in words; a lone "one" is among them.
SPELLED = rf"(?i:\b(?:{_OF_THOUSANDS}(?: {_OF_THOUSANDS}){{0,3}}(?:(?: and)? {_UP_TO_999})?|{_UP_TO_999})\b)"

_GROUPED = r"\d{1,3}(?P<by>[,.'])\d{3}(?:(?P=by)\d{3})*(?!\d)(?:[.,]\d+)?(?![.,]?\d)"
_SPACED = r"(?<!\d )\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?! ?\d)"
_INDIAN = r"\d{1,2}(?:,\d{2})+,\d{3}(?!\d)(?:\.\d+)?"
# A pattern of numbers in digits. Numbers side by side, as in a table, are not read as one number with spaces between
# its groups.
DIGITS = rf"(?<!\d)-?(?:{_SPACED}|{_GROUPED}|{_INDIAN}|\d+(?:[.,:]\d+)*)"

# A pattern of the words that follow a number in digits and multiply it.
MULTIPLIER = r"(?i: ?(?:thousand|million|billion|trillion|mn|mln|bn|lakh|crore)\b|k\b|[百千万萬]{1,2}|[億亿만억])"

_HAN_DIGITS = {character: value for value, character in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2, "兩": 2}
_HAN_POWERS = {"十": 1, "百": 2, "千": 3}
_HAN_LARGE = {"万": 4, "萬": 4, "億": 8, "亿": 8}
_HAN = "".join([*_HAN_DIGITS, *_HAN_POWERS, *_HAN_LARGE])
# A pattern of numbers in Chinese characters; one alone counts only before what is counted by it.
HAN = rf"(?:[{_HAN}]{{2,24}}|[{_HAN}](?=[個个箇か年月日天歳岁元円人名点點时時分秒度%]))"


def value_of_digits(literal: str, multiplier: str = "") -> tuple[str, ...]:
    """Return the values that a number in digits may have, the likeliest first.

    One separator before three digits may group or be decimal: 1.299 is 1299 or 1.299. Text that is not a number in any
    convention, such as a version (1.2.3), stays as it is.
    """
    sign, digits = ("-", literal[1:]) if literal.startswith("-") else ("", literal)
    power = _MULTIPLIERS.get(multiplier.strip().lower(), 0)
    return tuple(sign + _shifted(whole, fraction, power) for whole, fraction in _readings(digits))


def _readings(digits: str) -> Iterable[tuple[str, str]]:
    """Yield the ways to read digits with separators, each as the digits before and after the decimal separator."""
    separators = re.findall(r"\D", digits)
    groups = re.split(r"\D", digits)
    if not separators or ":" in separators:
        return [(digits, "")]
    last, others = separators[-1], set(separators[:-1])
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


_MONTHS = "January February March April May June July August September October November December".split()
_MONTH = rf"(?:{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)}|Sept)\b\.?"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?\b"
_YEAR = r"(?:1\d|20)\d\d\b"
_MONTH_FIRST = (
    re.compile(rf"(?P<month>{_MONTH}) (?P<day>{_DAY})(?:,? (?P<year>{_YEAR}))?"),
    re.compile(rf"(?P<month>{_MONTH}),? (?P<year>{_YEAR})"),
)
_DIGIT_FIRST = (
    re.compile(rf"(?P<day>{_DAY})(?: of)? (?P<month>{_MONTH})(?:,? (?P<year>{_YEAR}))?"),
    re.compile(r"(?P<year>\d{4})(?P<by>[-/.])(?P<month>\d{1,2})(?P=by)(?P<day>\d{1,2})\b"),
    re.compile(r"(?P<day>\d{1,2})(?P<by>[-/.])(?P<month>\d{1,2})(?P=by)(?P<year>\d{4})\b"),
    re.compile(r"(?:(?P<year>\d{4})[年년] ?)?(?P<month>\d{1,2})[月월] ?(?P<day>\d{1,2})[日号號일]"),
)
_TIME = re.compile(
    r"(?P<hour>2[0-4]|[01]?\d)(?:(?:[:h]|\.(?=\d\d ?[ap]\.?m\b))(?P<minute>[0-5]\d)(?!\d))?"
    r"(?::[0-5]\d)? ?(?P<half>[ap]\.?m\b\.?)?",
    re.IGNORECASE,
)
# Units: the name by which each is compared, and its other names.
_UNIT_NAMES = (
    "dollar dollars $ us$ usd; euro euros € eur; pound pounds £ gbp lb lbs; yen ¥ jpy 円; rupee rupees ₹ inr;"
    "won ₩ krw 원; franc francs chf; percent % prozent procent; second seconds sec; minute minutes min mins;"
    "hour hours h hr hrs; day days; week weeks; month months; year years yr yrs; milligram milligrams mg;"
    "gram grams g gramme grammes; kilogram kilograms kg kilo kilos; tonne tonnes; ounce ounces oz; mile miles;"
    "foot feet ft; inch inches; millimetre millimetres millimeter millimeters mm; metre metres meter meters m;"
    "centimetre centimetres centimeter centimeters cm; kilometre kilometres kilometer kilometers km; watt watts w;"
    "kilowatt kilowatts kw; volt volts v; litre litres liter liters l; gigabyte gigabytes gb; fahrenheit °f;"
    "millilitre millilitres milliliter milliliters ml; megabyte megabytes mb; celsius °c"
)
_UNITS = {name: stem(names[0]) for names in map(str.split, _UNIT_NAMES.split(";")) for name in names}
_BEFORE = r"(?:(?P<before>US\$|[$€£¥₹₩]|\b(?:USD|EUR|GBP|JPY|INR|KRW|CHF)) ?)"
_SURFACES = "|".join(re.escape(surface) for surface in sorted(_UNITS, key=len, reverse=True))
_AFTER = rf"(?:[ -]?(?P<after>(?i:per cent|{_SURFACES}))(?![A-Za-zÀ-ɏ\d]))"
_IN_DIGITS = re.compile(
    rf"{_BEFORE}?(?P<digits>{DIGITS})(?P<multiplier>{MULTIPLIER}|(?(before)[mMbB]\b|(?!)))?{_AFTER}?"
)
_IN_WORDS = re.compile(rf"(?P<spelled>{SPELLED}){_AFTER}?")
_IN_HAN = re.compile(rf"(?P<han>{HAN})(?P<after>[%円])?")
# Lower-case words at which a quantity may start.
STARTS = NUMBER_WORDS.union(
    "usd eur gbp jpy inr krw chf sept".split(), *((name.lower(), name[:3].lower()) for name in _MONTHS)
)


class Quantity(NamedTuple):
    """The words of a date, a time or a number, and where it ends in the text."""

    end: int
    words: tuple[Word, ...]


def quantity_at(text: str, start: int) -> Quantity | None:
    """Read the date, time or number that starts at a place of a unified text, if one does."""
    for pattern, read in _READERS_OF_WORDS if text[start].isalpha() else _READERS_OF_DIGITS:
        if (match := pattern.match(text, start)) and (found := read(match)):
            return Quantity(match.end(), found)
    return None


def _read_date(match: re.Match[str]) -> tuple[Word, ...]:
    """Return the year, month and day of a date as far as it has them; nothing if there is no such date."""
    parts: dict[str, str] = {"year": "", "day": "", **match.groupdict("")}
    year = (Word(parts["year"], number=True),) if parts["year"] else ()
    day = int(re.sub(r"\D", "", parts["day"])) if parts["day"] else 0
    if not parts["month"].isdigit():
        number = next(rank for rank, name in enumerate(_MONTHS, 1) if parts["month"].startswith(name[:3]))
        return year + _month_and_day([number], [day] if day else [])
    month = int(parts["month"])
    # 3/4/2024 is a day in March or in April; dots are used where the day comes first.
    either = parts.get("by") in ("/", "-") and match.start("day") < match.start("month") and month != day
    orders = [(month, day), (day, month)] if either else [(month, day)]
    valid = [(first, second) for first, second in orders if 1 <= first <= 12 and 1 <= second <= 31]
    return year + _month_and_day(*map(list, zip(*valid, strict=True))) if valid else ()


def _month_and_day(months: list[int], days: list[int]) -> tuple[Word, ...]:
    names = [stem(_MONTHS[month - 1].lower()) for month in months]
    month = Word(names[0], capitalised=True, also=tuple(names[1:]))
    if not days:
        return (month,)
    return month, Word(str(days[0]), number=True, also=tuple(map(str, days[1:])))


def _read_time(match: re.Match[str]) -> tuple[Word, ...]:
    """Return a time by the clock of 24 hours; after noon, the hour on the dial may be meant as well."""
    hour, minute, half = match.group("hour", "minute", "half")
    if minute is None and half is None:
        return ()
    minutes = "" if minute in (None, "00") else f":{minute}"
    dial = int(hour)
    if half is None:
        return (Word(f"{dial}{minutes}", number=True),)
    unit = half[0].lower() + "m"
    clock = dial % 12 + 12 * (unit == "pm") if dial <= 12 else dial
    also = (f"{dial}{minutes}",) if clock != dial else ()  # "at 3" may mean 3 pm
    return (Word(f"{clock}{minutes}", number=True, also=also, unit=unit),)


def _read_digits(match: re.Match[str]) -> tuple[Word, ...]:
    before, after = match.group("before", "after")
    first, *others = value_of_digits(match["digits"], match["multiplier"] or "")
    return _with_unit(first, tuple(others), after or before)


def _read_words(match: re.Match[str]) -> tuple[Word, ...]:
    value = value_of_words(match["spelled"])
    if match["spelled"].lower() == "one" and not match["after"]:  # more often a pronoun than a number
        return (Word("one", stop=True, also=("1",)),)
    return _with_unit(value, (), match["after"])


def _read_han(match: re.Match[str]) -> tuple[Word, ...]:
    return _with_unit(value_of_han(match["han"]), (), match["after"])


def _with_unit(value: str, also: tuple[str, ...], surface: str | None) -> tuple[Word, ...]:
    if surface is None:
        return (Word(value, number=True, also=also),)
    unit = _UNITS[surface.lower().replace("per cent", "percent")]
    return Word(value, number=True, also=also, unit=unit), Word(unit, unit=unit)


_Readers = tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[Word, ...]]], ...]
_READERS_OF_WORDS: _Readers = (
    *((pattern, _read_date) for pattern in _MONTH_FIRST),
    (_IN_WORDS, _read_words),
    (_IN_DIGITS, _read_digits),
    (_IN_HAN, _read_han),
)
_READERS_OF_DIGITS: _Readers = (
    *((pattern, _read_date) for pattern in _DIGIT_FIRST),
    (_TIME, _read_time),
    (_IN_DIGITS, _read_digits),
)
