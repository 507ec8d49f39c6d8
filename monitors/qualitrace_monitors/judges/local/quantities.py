"""Numbers in a text as words: with their units and currencies, dates and times in one order, whatever their form.

A date yields its year, its month by its English name and its day, so that `3 March 2024`, `March 3rd, 2024`,
`2024-03-03` and `2024年3月3日` are the same words; where day and month may be either, each may be both. A time yields
its hour (and minute) on the clock of 24 hours. Units are those of the International System and everyday English.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from qualitrace_monitors.judges.local.numbers import (
    DIGITS,
    HAN,
    MULTIPLIER,
    NUMBER_WORDS,
    SPELLED,
    value_of_digits,
    value_of_han,
    value_of_words,
)
from qualitrace_monitors.judges.local.word import Word, stem

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
_UNITS = {
    surface: stem(unit)
    for unit, surfaces in {
        "dollar": "$ us$ usd dollar dollars",
        "euro": "€ eur euro euros",
        "pound": "£ gbp pound pounds lb lbs",
        "yen": "¥ jpy yen 円",
        "rupee": "₹ inr rupee rupees",
        "won": "₩ krw won 원",
        "franc": "chf franc francs",
        "percent": "% percent prozent procent",
        "second": "sec second seconds",
        "minute": "min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "day days",
        "week": "week weeks",
        "month": "month months",
        "year": "year years yr yrs",
        "milligram": "mg milligram milligrams",
        "gram": "g gram grams gramme grammes",
        "kilogram": "kg kilo kilos kilogram kilograms",
        "tonne": "tonne tonnes",
        "ounce": "oz ounce ounces",
        "millimetre": "mm millimetre millimetres millimeter millimeters",
        "centimetre": "cm centimetre centimetres centimeter centimeters",
        "metre": "m metre metres meter meters",
        "kilometre": "km kilometre kilometres kilometer kilometers",
        "mile": "mile miles",
        "foot": "ft foot feet",
        "inch": "inch inches",
        "millilitre": "ml millilitre millilitres milliliter milliliters",
        "litre": "l litre litres liter liters",
        "watt": "w watt watts",
        "kilowatt": "kw kilowatt kilowatts",
        "volt": "v volt volts",
        "megabyte": "mb megabyte megabytes",
        "gigabyte": "gb gigabyte gigabytes",
        "celsius": "°c celsius",
        "fahrenheit": "°f fahrenheit",
    }.items()
    for surface in surfaces.split()
}
_BEFORE = r"(?:(?P<before>US\$|[$€£¥₹₩]|\b(?:USD|EUR|GBP|JPY|INR|KRW|CHF)) ?)"
_SURFACES = "|".join(re.escape(surface) for surface in sorted(_UNITS, key=len, reverse=True))
_AFTER = rf"(?:[ -]?(?P<after>(?i:per cent|{_SURFACES}))(?![A-Za-zÀ-ɏ\d]))"
_IN_DIGITS = re.compile(
    rf"{_BEFORE}?(?P<digits>{DIGITS})(?P<multiplier>{MULTIPLIER}|(?(before)[mMbB]\b|(?!)))?{_AFTER}?"
)
_IN_WORDS = re.compile(rf"(?P<spelled>{SPELLED}){_AFTER}?")
_IN_HAN = re.compile(rf"(?P<han>{HAN})(?P<after>[%円])?")
STARTS = NUMBER_WORDS.union(
    "usd eur gbp jpy inr krw chf sept".split(), *((name.lower(), name[:3].lower()) for name in _MONTHS)
)
"""Lower-case words at which a quantity may start."""


class Quantity(NamedTuple):
    """The words of a quantity, and where it ends in the text."""

    end: int
    words: tuple[Word, ...]


def quantity_at(text: str, start: int) -> Quantity | None:
    """Read the date, time or number that starts at a place of a unified text, if one does."""
    for pattern, read in _READERS_OF_WORDS if text[start].isalpha() else _READERS_OF_DIGITS:
        if (match := pattern.match(text, start)) and (found := read(match)):
            return Quantity(match.end(), found)
    return None


def _read_date(match: re.Match[str]) -> tuple[Word, ...]:
    """Return the year, month and day of a date as far as it has them; nothing where there is no such date."""
    parts: dict[str, str] = {"year": "", "day": "", **match.groupdict("")}
    year = (Word(parts["year"], number=True),) if parts["year"] else ()
    day = int(re.sub(r"\D", "", parts["day"])) if parts["day"] else 0
    if not parts["month"].isdigit():
        number = next(rank for rank, name in enumerate(_MONTHS, 1) if parts["month"].startswith(name[:3]))
        return year + _month_and_day([number], [day] if day else [])
    month = int(parts["month"])
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
    also = (f"{dial}{minutes}",) if clock != dial else ()
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
