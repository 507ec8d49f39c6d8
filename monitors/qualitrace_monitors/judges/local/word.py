"""A word as the local judges see it, and its stem."""

from typing import NamedTuple

_SUFFIXES = (
    "ization",
    "isation",
    "ations",
    "ation",
    "ings",
    "ing",
    "ies",
    "ied",
    "ers",
    "ed",
    "es",
    "er",
    "ly",
    "s",
    "e",
)


class Word(NamedTuple):
    """A token.

    Attributes:
        stem: what is compared; a number's is its value (`1299.5`).
        capitalised: it starts with a capital letter.
        number: it is a number.
        stop: it carries no meaning of its own.
        denies: it is a negation.
        also: other stems that mean the same, or may (`1.299`: 1299 or 1.299).
        unit: the stem of the unit that a number is given in, where that is known; a unit's own stem.
    """

    stem: str
    capitalised: bool = False
    number: bool = False
    stop: bool = False
    denies: bool = False
    also: tuple[str, ...] = ()
    unit: str = ""


def stem(word: str) -> str:
    """Cut the commonest English endings off a lower-case `word`, so that forms of a word meet."""
    word = word.removesuffix("'s").removesuffix("'")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word.removesuffix(suffix)
            break
    if len(word) > 3 and word[-1] == word[-2]:
        return word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word.endswith("y") else word
