"""Is a text English? The local judges were measured on English, and know its negations, refusals and insults alone.

Each word in Latin letters counts for English or against it, by a linear model over hashed pieces of the word
(`english.npz`: 65,536 one-byte weights in CRC-32 buckets, no words). The weights are those of a logistic regression
(scikit-learn, C = 1) on random runs of one to eight words, English against 26 other languages, drawn by their
frequencies in wordfreq 3.1.1 (https://github.com/rspeer/wordfreq, data CC-BY-SA-4.0). It mistakes one in thirty texts
that people wrote in other languages for English, and hardly any English text for another language.
"""

import re
import zlib
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from qualitrace_monitors.judges.local.normal import unified
from qualitrace_monitors.judges.local.text import KNOWN_WORDS, LONGEST_KNOWN, sentences, shared

if TYPE_CHECKING:  # NumPy takes longer to import than all local judges; it is loaded with the weights
    import numpy as np
    from numpy.typing import NDArray

BUCKETS = 1 << 16
_LATIN_WORD = re.compile(r"[A-Za-zÀ-ɏḀ-ỿ]+")
_LATIN_LETTER = re.compile(r"[A-Za-zÀ-ɏḀ-ỿ]")
_OTHER_LETTER = re.compile(r"[^\W\d_A-Za-zÀ-ɏḀ-ỿ]")
# What may be a unit after a number, which is the same in most languages.
_UNIT = re.compile(r"(?<=\d) ?[A-Za-z]{1,2}\b")
# Signs of handles, e-mail and web addresses, which belong to no language.
_ADDRESS = re.compile(r"@|://|www\.")
UNMEASURED = "this judge knows English only"  # why a verdict on a text in another language would be a guess
# Share of letters of other scripts from which on a text is not English; fewer are names in their own script.
_OTHER_SHARE = 0.25
# Letters of Latin script that one of another script counts as: Han characters are whole words.
_WEIGHT_OF_OTHER = 2
_STRONGEST = 4.0  # log-odds of one word at most
# Log-odds for English of each word of an English text at least, less the allowance of a whole text.
_EACH, _FREE = 0.25, 0.5
_FAINT, _FEW = 1.0, 2  # log-odds against English that show nothing in a text of at most so many words
_FAIR, _SHORT = 4.0, 5  # log-odds for English that show little in a text of at most so many words
_CLEARLY = 2.0  # log-odds against English of a few words that are in another language; more words need less


class _Evidence(NamedTuple):
    """Log-odds for English, words in Latin letters, and whether other scripts stand out."""

    english: float
    words: int
    other_script: bool


def is_english(text: str, beside: str = "") -> bool:
    """Whether a text as a whole is English; one that shows little is in the language of the text `beside` it."""
    found = _evidence(text)
    if found.other_script:
        return False
    if beside and (_shows_little(found) or _is_name(text, found)):
        return is_english(beside)
    return found.english > _EACH * found.words - _FREE


def is_all_english(text: str, beside: str = "") -> bool:
    """Whether a text is English, and no sentence of it is clearly in another language."""
    return is_english(text, beside) and not any(map(is_clearly_foreign, sentences(text)))


def is_clearly_foreign(sentence: str) -> bool:
    """Whether a sentence is in another language beyond doubt; what is not may be slang, a name or a code."""
    found = _evidence(sentence)
    at_most = -_CLEARLY if found.words <= _FEW else -_FAINT
    return found.other_script or (found.words >= _FEW and found.english < at_most and not _is_name(sentence, found))


def _shows_little(found: _Evidence) -> bool:
    if found.english < 0:
        return found.words <= _FEW and found.english > -_FAINT
    return found.words <= _SHORT and found.english < _FAIR


def _is_name(text: str, found: _Evidence) -> bool:
    """Whether a short text is a name or a title (`Palacio de los Deportes`), which is the same in any language."""
    return found.words <= _SHORT and all(word[0].isupper() for word in _LATIN_WORD.findall(text) if len(word) > 3)


@shared
def _evidence(text: str) -> _Evidence:
    plain = unified(text)
    if _ADDRESS.search(plain):
        plain = " ".join(part for part in plain.split() if not _ADDRESS.search(part))
    plain = _UNIT.sub(" ", plain)
    others = 0 if plain.isascii() else _WEIGHT_OF_OTHER * len(_OTHER_LETTER.findall(plain))
    if others and others >= _OTHER_SHARE * (others + len(_LATIN_LETTER.findall(plain))):
        return _Evidence(0.0, 0, True)
    found = [
        word if len(word) <= LONGEST_KNOWN else word[:LONGEST_KNOWN] for word in _LATIN_WORD.findall(plain.lower())
    ]
    return _Evidence(sum(map(log_odds, found)), len(found), False)


@lru_cache(KNOWN_WORDS)
def log_odds(word: str) -> float:
    """Return how much a lower-case word counts for English or, below zero, for another language."""
    buckets = pieces(word)
    weight = float(_weights()[buckets].sum()) / len(buckets) ** 0.5
    return max(-_STRONGEST, min(_STRONGEST, weight))


def pieces(word: str) -> list[int]:
    """Hash a word and its character n-grams (1 to 4)."""
    padded = f"<{word}>"
    found = {padded} | {padded[i : i + n] for n in (1, 2, 3, 4) for i in range(len(padded) - n + 1)}
    return sorted({zlib.crc32(piece.encode()) % BUCKETS for piece in found - {"<", ">"}})


@cache
def _weights() -> "NDArray[np.float64]":
    """Read the weights that come with the package."""
    import numpy as np

    with (files(__package__ or "") / "english.npz").open("rb") as file, np.load(file) as arrays:
        return arrays["pieces"] * float(arrays["scale"])
