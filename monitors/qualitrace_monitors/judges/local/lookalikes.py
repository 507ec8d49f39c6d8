"""Latin letters behind their lookalikes: other scripts, marks on letters, letters in boxes and circles.

A word is read as Latin where nothing else makes sense: it mixes Latin letters with those of another script, and all of
these look like Latin ones. A word in another script alone is that script's own, unless its neighbours are Latin
(`foreign_too`).

Lookalikes are those of Unicode's confusables.txt, which the package confusable-homoglyphs carries, letters that Unicode
names after a Latin one, and a few that only look alike in passing.
"""

import re
import unicodedata
from functools import lru_cache

from qualitrace_monitors.judges.local.normal import unified
from qualitrace_monitors.judges.local.text import KNOWN_WORDS

# Letters that pass for others at a glance; confusables.txt has only those that look the same.
_AT_A_GLANCE = {
    **dict(zip("кпийягтмнвбшщэзчдцКПИЙЯГТМНВБШЩЭЗЧДЦ", "knnnrrtmhbbwweeyauKNNNRRTMHBBWWEEYAU", strict=True)),
    **dict(zip("βχληεωτσπμκςξΛΣΔΩΠΞӏßəþð", "bxanewtonukceAEAONElbepd", strict=True)),
    "ʍ": "m", "æ": "ae", "œ": "oe", "Æ": "AE", "Œ": "OE",
}  # fmt: skip
_NAMED = re.compile(
    r"(?:NEGATIVE (?:SQUARED|CIRCLED) )?(?:LATIN|REGIONAL INDICATOR SYMBOL|MODIFIER)\b.*\bLETTER (?:SMALL |CAPITAL )*"
    r"(?:DOTLESS |SCRIPT |OPEN |LONG |BARRED |TURNED |REVERSED )?(?P<letter>[A-Z])(?: WITH .*)?"
)
# Characters that one may become. More are phrases (ﷺ), no letters.
MAX_GROWTH = 4
_LONGEST = 500  # characters, with all their marks, of a word that is read letter by letter
_SKIPPED = ("Mn", "Me", "Cf", "Cc")  # categories: marks, and characters without a shape


@lru_cache(KNOWN_WORDS)
def plain_word(word: str, *, foreign_too: bool = False) -> str:
    """Bring a word without blanks to the letters that a reader takes it for."""
    if word.isascii() and word.isprintable():
        return word
    whole = unified(word)
    if len(word) > _LONGEST or len(whole) > MAX_GROWTH * len(word):
        return word
    bare = _without_marks(whole)
    read = "".join(_own_letter(c) for c in bare)
    foreign = [c for c in read if not c.isascii() and c.isalpha()]
    if not foreign or not (foreign_too or _is_mixed(read)):
        return read
    letters = {c: lookalike(c) for c in foreign}
    return "".join(letters.get(c, c) for c in read) if all(letters.values()) else read


def _is_mixed(word: str) -> bool:
    """Whether a word has letters of several scripts; CJK texts mix theirs, and have no lookalikes."""
    return len({unicodedata.name(c, "?").split()[0] for c in word if c.isalpha()}) > 1


@lru_cache(KNOWN_WORDS)
def lookalike(character: str) -> str:
    """Return the ASCII letter that a character looks like; an empty text if it is like none."""
    if character in _AT_A_GLANCE:
        return _AT_A_GLANCE[character]
    if (own := _own_letter(character)).isascii():
        return own
    # Its table is read from a megabyte of JSON, and most texts need none of it.
    from confusable_homoglyphs.confusables import confusables_data

    alike = [_own_letter(entry["c"]) for entry in confusables_data.get(character, ()) if len(entry["c"]) == 1]
    letters = [letter for letter in alike if letter.isascii() and letter.isalpha()]
    # The table knows one letter for l, I and 1.
    return "I" if letters[:1] == ["l"] and character.isupper() else letters[0] if letters else ""


@lru_cache(KNOWN_WORDS)
def _own_letter(character: str) -> str:
    """Return the Latin letter that a character is a form of (ø, ɢ, 🅰), or the character."""
    if character.isascii():
        return character
    name = unicodedata.name(character, "")
    if not (
        found := _NAMED.fullmatch(name)
        or _NAMED.fullmatch(name.removeprefix("NEGATIVE SQUARED ").removeprefix("NEGATIVE CIRCLED "))
    ):
        return character
    return found["letter"] if character.isupper() or "CAPITAL LETTER" in name else found["letter"].lower()


def _without_marks(word: str) -> str:
    """Drop what has no shape, and the marks on letters and signs of ASCII; those of other scripts are their own."""
    kept: list[str] = []
    latin = True  # a mark at the start of a word belongs to the blank before it
    for c in unicodedata.normalize("NFD", word):
        category = "Lu" if c.isascii() and c.isprintable() else unicodedata.category(c)
        if category not in _SKIPPED:
            latin = c.isascii() or unicodedata.name(c, "").startswith("LATIN")
            kept.append(c)
        elif category in ("Mn", "Me") and not latin and not _is_selector(c):
            kept.append(c)
    return unicodedata.normalize("NFC", "".join(kept))


def _is_selector(mark: str) -> bool:
    return "\ufe00" <= mark <= "\ufe0f" or "\U000e0100" <= mark <= "\U000e01ef" or mark == "\u034f"
