"""Words that are spelled with digits and signs, or stretched, in their letters: k1ll, $h1t, idiooot.

A word has several readings (1 is an i or an l, ooo an o or two); the commonest English word among them is taken.
"""

import re
from functools import lru_cache
from itertools import islice, product

from qualitrace_monitors.judges.local.edits import EditedText
from qualitrace_monitors.judges.local.lexicon import commonness
from qualitrace_monitors.judges.local.text import KNOWN_WORDS, LONGEST_KNOWN

_READINGS = 16  # readings of a word with digits or signs that are compared
_SPELLED = re.compile(rf"(?<![A-Za-z'])[A-Za-z']{{0,{LONGEST_KNOWN}}}[0-9@$!|+€£¢][A-Za-z0-9@$!|+€£¢']*")
_TOKEN = re.compile(r"\w[\w']*")
_HEAVY = 4  # from one word in so many on, spelled with signs, lone signs and numbers are words too
_LONE_SIGN = re.compile(r"(?<![^\s\"(])[14@!|](?=[\s,'])")
_LONE = {"1": "I", "!": "I", "|": "I", "4": "a", "@": "a"}
_VERY_COMMON = 4.0  # on the Zipf scale
_SIGNS = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "gb", "7": "t", "8": "b", "9": "g", "@": "a",
    "$": "s", "!": "il", "|": "li", "+": "t", "€": "e", "£": "l", "¢": "c",
}  # fmt: skip
_HAS_SIGN = re.compile(r"[0-9@$!|+€£¢]")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s)", re.IGNORECASE)
_WITHIN = re.compile(r"[A-Za-z]+(?:[0-9@$€£¢']+[A-Za-z]+)+")
_STRETCHED = re.compile(rf"(?<![A-Za-z])[A-Za-z]{{0,{LONGEST_KNOWN}}}?([A-Za-z])\1{{2,}}[A-Za-z]{{0,{LONGEST_KNOWN}}}")
_STRETCH = re.compile(r"([A-Za-z])\1{2,}")
_STRETCHES = 4  # stretched letters in a word for which both lengths are tried
_COMMON = 3.5  # on the Zipf scale: a word that is more than a misspelling
_DOUBLED = re.compile(r"(?<![A-Za-z])(?:([A-Za-z])\1){3,}(?![A-Za-z])")
_NO_NAME = frozenset(".-_")  # beside a word with an @, they show an address or a name


def read_words(view: EditedText) -> None:
    """Write each word of a text in its letters."""
    view.replace(_DOUBLED, lambda match: match[0][::2])
    if _STRETCH.search(view.text):
        view.replace(_STRETCHED, lambda match: _shortened(match[0]))
    if not _SPELLED.search(view.text):
        return
    before = view.text
    changed = 0

    def spelled(match: re.Match[str]) -> str:
        nonlocal changed
        word = match[0]
        around = before[max(0, match.start() - 1) : match.start()] + before[match.end() : match.end() + 1]
        if "@" in word and not _NO_NAME.isdisjoint(around):
            return word
        read = spelled_out(word) if len(word) <= LONGEST_KNOWN else word
        changed += read != word
        return read

    view.replace(_SPELLED, spelled)
    if changed * _HEAVY >= len(_TOKEN.findall(view.text)):
        view.replace(_LONE_SIGN, lambda match: _LONE[match[0]])
        view.replace(_SPELLED, lambda match: _known_reading(match[0], _VERY_COMMON) or match[0])


def _shortened(word: str) -> str:
    """Shorten stretched letters to one or two, whichever makes a word."""
    stretches = [match[1] for match in _STRETCH.finditer(word)]
    if len(stretches) > _STRETCHES:
        return _STRETCH.sub(r"\1", word)
    frame = _STRETCH.sub("\0", word).split("\0")

    def filled(lengths: tuple[int, ...]) -> str:
        ends = (letter * length for letter, length in zip(stretches, lengths, strict=True))
        return frame[0] + "".join(end + rest for end, rest in zip(ends, frame[1:], strict=True))

    readings = [filled(lengths) for lengths in product((2, 1), repeat=len(stretches))]
    common = [commonness(reading.lower()) for reading in readings]
    for reading, known in zip(readings, common, strict=True):
        if known >= _COMMON:
            return reading
    return readings[common.index(max(common))] if any(common) else readings[-1]


@lru_cache(KNOWN_WORDS)
def spelled_out(word: str) -> str:
    """Read the digits and signs in a word as the letters that they stand for; a word that makes no sense stays."""
    bare = word.rstrip("!|+'")
    signs, letters = len(_HAS_SIGN.findall(bare)), sum(map(str.isalpha, bare))
    if not signs or _ORDINAL.fullmatch(bare) or (not letters and len(re.findall(r"[@$]", bare)) < 2):
        return word
    if read := _known_reading(bare):
        return read + word[len(bare) :]
    # A name with a number after it, or with an @ in front, is not a disguise.
    if letters < signs or not _WITHIN.fullmatch(bare):
        return word
    return "".join(_SIGNS.get(c, c)[0] for c in bare) + word[len(bare) :]


def _known_reading(word: str, least: float = 0.1) -> str:
    """Return the commonest English word that is spelled like this; an empty text if there is none."""
    readings = islice(product(*(_SIGNS.get(c, c) for c in word)), _READINGS)
    best = max(map("".join, readings), key=_known)
    return best if _known(best) >= least else ""


def _known(word: str) -> float:
    return commonness(word.replace("'", "").lower())
