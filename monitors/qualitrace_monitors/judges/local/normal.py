"""One form for texts that a reader takes for the same: Unicode's compatibility forms, digits, and optional marks.

`visible` changes nothing that a reader would see; `unified` makes the forms of digits and signs one; `folded` brings a
word to what it is compared by.
"""

import re
import unicodedata

_OPTIONAL_MARKS = re.compile("[\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed]")
"""Points of Hebrew and short vowels of Arabic, which everyday writing leaves out."""
_INVISIBLE = re.compile("[\u00ad\u034f\u0640\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]")
"""Soft hyphens, zero-width characters, marks of direction, and Arabic's tatweel, which only stretches a word."""
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
"""Letters that are written one for the other (after the normalisation of Lucene's ArabicAnalyzer)."""
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


def unified(text: str) -> str:
    """Bring a text to NFKC, with ASCII's digits, apostrophes and minus, and without invisible characters."""
    return text if text.isascii() else _FOREIGN_DIGIT.sub(_ascii_digit, visible(text).translate(_SIGNS))


def visible(text: str) -> str:
    """Bring a text to NFKC, without invisible characters: to what a reader sees."""
    if text.isascii():
        return text
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", _VULGAR_FRACTION.sub(_decimal, text)))


def folded(word: str) -> str:
    """Bring a word of a unified text to the form that it is compared by: without case and optional marks."""
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
