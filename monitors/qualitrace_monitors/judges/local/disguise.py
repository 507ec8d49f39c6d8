"""What a disguised text says: the view in which the local heuristics look a second time.

Letters of other scripts and with marks become plain ones, invisible signs and markup within words go, letters that were
spelled apart, wrapped or stretched come together, and digits and signs in words become the letters that they stand for.
The view is for finding things, not for reading: a harmless text may come out a little wrong. So judges look at the text
as it is first, and say in a rationale what stands in the original.
"""

import html
import re
from collections import Counter

from qualitrace_monitors.judges.local.edits import EditedText
from qualitrace_monitors.judges.local.lexicon import commonness, split
from qualitrace_monitors.judges.local.lookalikes import plain_word
from qualitrace_monitors.judges.local.spelling import read_words
from qualitrace_monitors.judges.local.text import shared

MAX_SPLIT = 4_000  # letters of runs without blanks that are split into words, per text; it takes 0.1 s
_PASSES = 4  # disguises within disguises

_REVERSED = re.compile("\u202e([^\u202c\n]*)\u202c?")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_BLANK = re.compile("[^\\S\n ]|[\u115f\u1160\u2800\u3164\uffa0]")  # the latter are letters that show as blanks
_NON_BLANK = re.compile(r"\S+")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});")
_INLINE = "a|abbr|b|big|cite|code|del|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr"
_TAG_WITHIN = re.compile(
    rf"<!--[^<>]{{0,200}}-->|</?(?:{_INLINE})(?:\s[^<>]{{0,200}})?/?>|\[/?(?:b|i|s|u|em|strong)\]", re.IGNORECASE
)
_TAG_BETWEEN = re.compile(r"</?[a-z][a-z0-9]{0,15}(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)

_LETTER = r"[^\W\d_]"
_FOREIGN = re.compile(rf"{_LETTER}+")
_SHORT = 3  # letters of words that look alike in several scripts by chance
_SIGN = r"[^\w\s]{1,3}|_{1,3}"
_APART = re.compile(
    r"(?<![^\s(\"'\[])\S(?:[ \n]{1,8}\S(?!\S)){2,}(?:[ \n]{1,8}[^\W_](?=[^\w\s]{1,3}(?!\S)))?"
    r"|(?<![^\s(\"'\[])\S[ \n]{1,8}\S[ \n]{1,8}[^\W_](?=[^\w\s]{1,3}(?!\S))"
)
_GAP = re.compile(r"[ \n]+")
_SIGNS_BETWEEN = re.compile(
    # a sign after each character of a token, or after each letter of a word, whatever comes before and after it
    rf"(?<!\S)\S(?P<mark>[^\w\s]|_)\S(?:(?P=mark)\S)*(?!\S)"
    rf"|(?<![^\W_])[^\W_](?P<sign>{_SIGN})[^\W_](?:(?P=sign)[^\W_])+(?![^\W_])"
)
_CHAIN = re.compile(rf"(?<![\w@./:-]){_LETTER}{{2,}}(?:([-_.|~+/]){_LETTER}+)(?:\1{_LETTER}+)+(?![\w@/])")
_MARKUP = re.compile(r"[*_~`|]")
# Two of a kind; a single one stands for a letter (f**k).
_MARKUP_WITHIN = re.compile(
    rf"(?<!\w)({_LETTER}+)(?P<sign>[*_]{{1,3}}|~~?|`|\|\|)({_LETTER}+)(?P=sign)({_LETTER}*)(?!\w)"
)
_MARKUP_AROUND = re.compile(r"(?<![\w*_~`])[*_~`]{1,3}(?=[^\W_])|(?<=[^\W_])[*_~`]{1,3}(?![\w*_~`])")

_BLANKS = re.compile(r" {2,}")
_BROKEN = re.compile(rf"(?<={_LETTER})[-\u00ac] ?\n ?(?={_LETTER})")
_WRAP = re.compile(r" ?\n[ \n]*(?:> ?){0,5}(?P<mark>[-*•#+|]|\d{1,2}[.)])?")
_SENTENCE_ENDS = frozenset(".!?:;。！？")

_COMMON = 3.5  # on the Zipf scale: a word that is more than a misspelling
_RUN = re.compile(r"[A-Za-z][A-Za-z']{3,}")
_LONG_RUN = re.compile(r"[A-Za-z][A-Za-z']{5,}")
_SEAM = re.compile(r"(?<=[,;:!?])(?=[A-Za-z])|(?<=\.)(?=[A-Z])|(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)")
_FEW = 2  # words with the same sign between all letters, from which on the sign is a disguise


@shared
def revealed(text: str) -> EditedText:
    """Bring a text to what it says behind a disguise; it grows `lookalikes.MAX_GROWTH`-fold at most."""
    view = EditedText(text)
    for _ in range(_PASSES):
        before = view.text
        _reveal_characters(view)
        _join_words(view)
        read_words(view)
        if view.text == before:
            break
    return view


def _reveal_characters(view: EditedText) -> None:
    if "&" in view.text:
        view.replace(_ENTITY, _character)
    view.replace(_REVERSED, lambda match: match[1][::-1])
    view.replace(_LINE_END, "\n")
    view.replace(_BLANK, " ")
    if not (view.text.isascii() and view.text.replace("\n", " ").isprintable()):
        view.replace(_NON_BLANK, lambda match: plain_word(match[0]))
        if _hides_english(view.text):
            view.replace(_NON_BLANK, lambda match: plain_word(match[0], foreign_too=True))
    if "<" in view.text or "[" in view.text:
        view.replace(_TAG_WITHIN, "")
        view.replace(_TAG_BETWEEN, " ")


def _character(match: re.Match[str]) -> str:
    """Read an HTML entity, unless it could become a part of markup or of another one."""
    character = html.unescape(match[0])
    return match[0] if character in "&#;<>" else character


def _hides_english(text: str) -> bool:
    """Whether the words without Latin letters are English: by what they look like, or for their neighbours' sake."""
    foreign = [word for word in _FOREIGN.findall(text) if not word.isascii()]
    long = [word for word in foreign if len(word) > _SHORT]
    if not long:
        return bool(foreign) and 2 * len(foreign) <= len(_FOREIGN.findall(text))
    known = sum(commonness(plain_word(word, foreign_too=True).lower()) >= _COMMON for word in long)
    return 2 * known >= len(long)


def _join_words(view: EditedText) -> None:
    view.replace(_APART, _Joined())
    signs = Counter(match["mark"] for match in _SIGNS_BETWEEN.finditer(view.text))
    view.replace(_SIGNS_BETWEEN, lambda match: _without_signs(match, signs))
    if _MARKUP.search(view.text):
        view.replace(_MARKUP_WITHIN, lambda match: match[1] + match[3] + match[4])
    view.replace(_CHAIN, lambda match: match[0].replace(match[1], " "))
    if _MARKUP.search(view.text):
        view.replace(_MARKUP_AROUND, "")
    view.replace(_BLANKS, " ")
    if "\n" in view.text:
        if "-" in view.text or "\u00ac" in view.text:
            view.replace(_BROKEN, "")
        view.replace(_WRAP, _unwrapped)


def _without_signs(match: re.Match[str], signs: Counter[str]) -> str:
    """Join the letters of a word; a pair of characters only where other words have the same sign in them."""
    joined = match[0][:: len(match["mark"] or match["sign"]) + 1]
    if match["mark"] and sum(map(str.isalnum, joined)) < 3 and signs[match["mark"]] <= _FEW:
        return match[0]
    return joined


class _Joined:
    """Joins letters that stand apart. Wider gaps are those between words; where all are alike, words are guessed."""

    def __init__(self) -> None:
        self._left = MAX_SPLIT

    def __call__(self, match: re.Match[str]) -> str:
        gaps, letters = _GAP.findall(match[0]), _GAP.split(match[0])
        if sum(map(str.isalnum, letters)) < 3:
            return match[0]
        narrow = min(map(len, gaps))
        one_a_line = all("\n" in gap for gap in gaps)
        joined = [letters[0]]
        for gap, letter in zip(gaps, letters[1:], strict=True):
            if len(gap) > narrow or ("\n" in gap and not one_a_line):
                joined.append("\n" if "\n" in gap else " ")
            joined.append(letter)
        text = "".join(joined)
        if "\n" not in joined and " " not in joined:
            return _RUN.sub(self._words, _SEAM.sub(" ", text))
        return _LONG_RUN.sub(self._words, text)

    def _words(self, run: re.Match[str]) -> str:
        letters = run[0].replace("'", "")
        if commonness(letters.lower()) or len(letters) > self._left:
            return run[0]
        self._left -= len(letters)
        words: list[str] = []
        at = 0
        for word in split(letters):
            start = at
            for _ in word:
                at += 1 + (run[0][at] == "'")
            words.append(run[0][start:at])
        return " ".join(words) + run[0][at:]


def _unwrapped(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 4) : match.start()].rstrip("\"'”’)]*_")[-1:]
    return match[0] if match["mark"] or not before or before in _SENTENCE_ENDS else " "
