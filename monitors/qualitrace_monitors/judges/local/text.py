"""Text as the local judges see it: limits, sentences, words with their stems, numbers and names.

Everything here runs in time linear in the text, and works for scripts that write no spaces: a run of Han, kana or
Hangul characters counts as its pairs of neighbouring characters.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from qualitrace_monitors.judges.local.normal import folded, unified
from qualitrace_monitors.judges.local.numbers import HAN
from qualitrace_monitors.judges.local.quantities import STARTS, quantity_at
from qualitrace_monitors.judges.local.word import Word, stem

MAX_ANSWER = 20_000
"""Characters of an answer or a question that are judged; the rest is cut off."""
MAX_PASSAGES = 100_000
"""Characters of all passages together that are looked at."""
KNOWN_WORDS, LONGEST_KNOWN = 1 << 15, 32
"""Words whose stems are remembered, and their characters at most: texts repeat each other's words."""
SHARED = 64
"""Texts whose sentences and words are kept: one judge after the other looks at the same answer."""
LARGEST_SHARED = 20_000
"""Characters of a text that is kept: what is made of it takes up to a hundred times as many bytes."""
QUOTE = 160
"""Characters of a sentence that a rationale shows."""

_STOP_WORDS = frozenset(
    """a about above after again all also although always am an and any are as at be because been before being
    below between both but by can could did do does doing done down during each either else ever few for
    from further get gets got had has have having he her here hers him himself his how however i if in
    into is it its itself just let like may maybe me might more most much must my myself no nor not now
    of off often on once one only onto or other our ours out over own per quite rather really same shall
    she should since so some such than that the their theirs them then there therefore these they this
    those though through thus to too under until up upon us very was we well were what when where
    whether which while who whom whose why will with within without would yes yet you your yours answer
    document passage context according based provided mentioned states stated says said information
    question text i'm i've i'd i'll it's that's there's they're we're you're he's she's what's don't
    doesn't didn't isn't st nd rd th aren't wasn't weren't can't couldn't won't wouldn't hasn't haven't
    hadn't s t d ll m re ve don doesn didn isn""".split()
)
_NEGATIONS = frozenset("not never no non cannot without neither nor none nobody nothing nowhere".split())
_ORDINALS = {
    word: str(value)
    for value, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth".split(), 1)
}
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\u0e00-\u0e7f"
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
"""Vowel signs and other marks, which are parts of words but no letters to `re`."""
_LETTER = rf"[^\W\d_{_SPACELESS}]"
_LETTERS = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*"
_TOKEN = re.compile(
    rf"(?P<word>{_LETTERS}(?:'{_LETTERS})*)|(?:(?<![^\s(])-)?\d|US\$|[$€£¥₹₩](?= ?\d)"
    rf"|{HAN}|(?P<run>(?:(?!{HAN})[{_SPACELESS}])+)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？।॥۔؟])|\n\s*")
_MARKUP = re.compile(r"(?m)^[ \t]*(?:\d{1,2}[.)]|[-*•#>]+)[ \t]+|\[\d{1,3}]|\*\*|`")
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Inc|Ltd|Co|approx|e\.g|i\.e|etc)\.$")

_Text = TypeVar("_Text", str, tuple[str, ...])
_Read = TypeVar("_Read")


def shared(read: Callable[[_Text], _Read]) -> Callable[[_Text], _Read]:
    """Keep what was last read of texts, or tuples of texts, that are not large."""
    kept = lru_cache(SHARED)(read)

    @wraps(read)
    def read_once(text: _Text) -> _Read:
        size = len(text) if isinstance(text, str) else sum(map(len, text))
        return kept(text) if size <= LARGEST_SHARED else read(text)

    return read_once


@shared
def sentences(text: str) -> tuple[str, ...]:
    """Split at sentence ends and line breaks; an abbreviation's dot ends none.

    List numbers, citation marks such as [1] and Markdown's signs are left out.
    """
    found: list[str] = []
    for piece in _SENTENCE_END.split(_MARKUP.sub("", text)):
        if not piece.strip():
            continue
        if found and _ABBREVIATION.search(found[-1][-12:]):
            found[-1] += " " + piece.strip()
        else:
            found.append(piece.strip())
    return tuple(found)


@shared
def words(text: str) -> tuple[Word, ...]:
    """Split `text` into words, in order; its dates, times and numbers are brought to one form each."""
    plain = unified(text)
    found: list[Word] = []
    at = 0
    for token in _TOKEN.finditer(plain):
        start = token.start()
        if start < at:
            continue
        word, run = token.groups()
        if word and word.lower() not in STARTS:
            found.append(_known_word(word) if len(word) <= LONGEST_KNOWN else _word(word))
        elif run:
            found.extend(Word(run[i : i + 2]) for i in range(max(1, len(run) - 1)))
        elif quantity := quantity_at(plain, start):
            found.extend(quantity.words)
            at = quantity.end
        elif word:
            found.append(_known_word(word))
    return tuple(found)


def _word(token: str) -> Word:
    lower = folded(token)
    return Word(
        stem(lower),
        capitalised=token[0].isupper(),
        stop=lower in _STOP_WORDS,
        denies=lower in _NEGATIONS or lower.endswith("n't"),
        also=(_ORDINALS[lower],) if lower in _ORDINALS else (),
    )


_known_word = lru_cache(KNOWN_WORDS)(_word)


def quote(sentence: str) -> str:
    """Bring a sentence to one line of at most `QUOTE` characters, in quotation marks."""
    line = " ".join("".join(c if c.isprintable() else " " for c in sentence[: 2 * QUOTE]).split())
    return f"“{line if len(line) <= QUOTE else line[: QUOTE - 1] + '…'}”"
