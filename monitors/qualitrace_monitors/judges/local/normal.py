"""One form for texts and words that a reader takes for the same: Unicode's forms, digits, marks, English endings.

`visible` changes nothing that a reader would see; `unified` gives digits and signs one form; `folded` and `stem` give a
word the form by which it is compared.
"""

import re
import threading
import unicodedata
from typing import NamedTuple

import snowballstemmer

# Points of Hebrew and short vowels of Arabic, which everyday writing leaves out.
_OPTIONAL_MARKS = re.compile("[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
# Soft hyphens, zero-width characters, marks of direction, and Arabic's tatweel, which only stretches a word.
_INVISIBLE = re.compile("[\u00ad\u034f\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
# Letters that are written one for the other (after the normalisation of Lucene's ArabicAnalyzer).
_LETTERS = str.maketrans(
    {
        **dict.fromkeys("أإآٱ", "ا"),  # the hamza's seat, left out as often as not
        **dict.fromkeys("ىی", "ي"),  # final yeh, and Persian's yeh
        "ؤ": "و",
        "ئ": "ي",
        "ة": "ه",
        "ک": "ك",
        "ё": "е",
        "ı": "i",
    }
)
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("’‘ʼ‛´", "'"),
        **dict.fromkeys("‐‑−", "-"),
        "٫": ".",
        "٬": ",",
        "٪": "%",
        "\u00a0": " ",
    }
)
_VULGAR_FRACTION = re.compile(r"(?:(\d) ?)?([¼½¾⅐-⅞])")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")

# Porter's rules are frozen. Snowball's "english" rules score as well on the development data, but change between
# releases of the library (51 of 29,303 words of that data from 2.2 to 3.1): scores would change without a new version.
_STEMMER = snowballstemmer.stemmer("porter")
_STEMMER_LOCK = threading.Lock()


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
    """Cut the English endings off a lower-case `word`, so that its forms are equal."""
    with _STEMMER_LOCK:  # a stemmer keeps the word that it is at work on
        return _STEMMER.stemWord(word.removesuffix("'s").removesuffix("'"))


def unified(text: str) -> str:
    """Bring a text to NFKC, with ASCII's digits, apostrophes and minus, and without invisible characters."""
    return text if text.isascii() else _FOREIGN_DIGIT.sub(_ascii_digit, visible(text).translate(_SIGNS))


def visible(text: str) -> str:
    """Bring a text to NFKC, without invisible characters: to what a reader sees."""
    if text.isascii():
        return text
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", _VULGAR_FRACTION.sub(_decimal, text)))


def folded(word: str) -> str:
    """Bring a word of a unified text to the form by which it is compared: without case and optional marks."""
    if word.isascii():
        return word.lower()
    return _without_accents(_OPTIONAL_MARKS.sub("", word.casefold())).translate(_LETTERS)


def _decimal(match: re.Match[str]) -> str:
    """Write 2½ as 2.5, and ½ as 0.5: by NFKC it would be 21/2."""
    whole, fraction = match.groups()
    return f"{whole or '0'}{unicodedata.numeric(fraction):.4g}".replace("0.", ".", 1)


def _ascii_digit(match: re.Match[str]) -> str:
    return str(unicodedata.decimal(match.group()))


def _without_accents(word: str) -> str:
    """Drop what capitals leave out: the accents of Greek, and the dot over a Turkish i."""
    if not any("\u0370" <= c <= "\u03ff" or c == "\u0307" for c in word):
        return word
    bare = re.sub("[\u0300\u0301\u0307\u0308]", "", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare)
