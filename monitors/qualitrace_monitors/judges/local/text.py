"""Text as the local judges see it: limits, sentences, words with their stems, numbers and names, and vocabularies.

Everything here runs in time linear in the text, and works for scripts without spaces: a run of Han, kana or Hangul
characters counts as its pairs of neighbouring characters.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from itertools import pairwise
from typing import TypeVar

from qualitrace_monitors.judges.local.normal import Word, folded, stem, unified
from qualitrace_monitors.judges.local.numbers import HAN, STARTS, quantity_at

MAX_ANSWER = 20_000  # characters of an answer or a question that are judged; the rest is cut off
MAX_PASSAGES = 100_000  # characters of all passages together that are judged
# Words in the caches of words, and characters of the longest of them: texts repeat each other's words.
KNOWN_WORDS, LONGEST_KNOWN = 1 << 15, 32
SHARED = 64  # texts in the caches of texts: one judge after the other reads the same answer
# Characters of the longest text in a cache: its words take up to a hundred times as many bytes.
LARGEST_SHARED = 20_000
QUOTE = 160  # characters of a sentence that a rationale shows
# Letters that two forms of a word must share (`refund`, `refundable`), and how much such a word counts.
PREFIX, _PREFIX_CREDIT = 5, 0.75

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
# Vowel signs and other marks, which are parts of words, though `re` does not count them as letters.
_MARKS = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_LETTER = rf"[^\W\d_{_SPACELESS}]"
_LETTERS = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*"
_TOKEN = re.compile(
    rf"(?P<word>{_LETTERS}(?:'{_LETTERS})*)|(?:(?<![^\s(])-)?\d|US\$|[$€£¥₹₩](?= ?\d)"
    rf"|{HAN}|(?P<run>(?:(?!{HAN})[{_SPACELESS}])+)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+|(?<=[。！？।॥۔؟])|\n\s*")
_MARKUP = re.compile(r"(?m)^[ \t]*(?:\d{1,2}[.)]|[-*•#>]+)[ \t]+|\[\d{1,3}]|\*\*|`")
_SOURCE = "(?:doc(?:ument)?|source|passage|chunk|context|ref(?:erence)?)s?"
# What an answer has beside its words: marks of its sources ([1, 2], [doc1], (Source 3), 【4:0†hours.md】), addresses of
# links, the lines that fence code, HTML's tags and blanks, and the list of sources that it ends with.
_CITATION = re.compile(
    rf"\[\^?(?:{_SOURCE}[ _:#-]{{0,2}})?\d{{1,3}}(?:[ ,;–-]{{1,2}}\d{{1,3}}){{0,9}}\]"
    rf"|\({_SOURCE}[ _:#-]{{1,2}}\d{{1,3}}(?:(?:, ?| and )\d{{1,3}}){{0,9}}\)"
    r"|【[^【】\n]{0,40}†[^【】\n]{0,80}】"
    r"|(?<=\])\([^()\s]{1,300}\)"
    r"|^[ \t]{0,20}```[ \t]{0,9}[\w+-]{0,20}[ \t]{0,20}$"
    r"|(?P<tag></?(?:p|br|b|i|u|em|strong|ul|ol|li|h[1-6]|div|span|a|table|thead|tbody|tr|td|th|code|pre|su[bp])\b[^<>\n]{0,200}>)"
    r"|&nbsp;"
    r"|(?P<sources>^[ \t]{0,9}[*_#>-]{0,6}[ \t]{0,9}(?:sources?|references?|citations?)[*_]{0,3}:[^\n]{0,300}"
    r"(?:\n{1,3}[ \t]{0,20}(?:[-*•]|\d{1,2}[.)]|\[)[^\n]{0,300}){0,20}\s{0,20}\Z)",
    re.IGNORECASE | re.MULTILINE,
)
# Several numbers in brackets may be a list as well as a mark of sources; after these words they are a list.
_NUMBERS = re.compile(r"\[\d{1,3}(?:[ ,;–-]{1,2}\d{1,3}){1,9}\]")
_GIVES_LIST = frozenset("= is are be return returns print prints output outputs yields equal equals".split())
_NEAR = 30  # characters before the brackets that are looked at
_ABOUT_SOURCES = re.compile(r"\b(?:sources?|references?|citations?)\b", re.IGNORECASE)
_ABOUT_HTML = re.compile(r"</?[a-z]|\bhtml\b|\btags?\b", re.IGNORECASE)
_ABBREVIATION = re.compile(r"(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|No|Inc|Ltd|Co|approx|e\.g|i\.e|etc)\.$")

_Text = TypeVar("_Text", str, tuple[str, ...])
_Read = TypeVar("_Read")


def shared(read: Callable[[_Text], _Read]) -> Callable[[_Text], _Read]:
    """Cache a function of a text, or of a tuple of texts, unless they are large."""
    kept = lru_cache(SHARED)(read)

    @wraps(read)
    def read_once(text: _Text) -> _Read:
        size = len(text) if isinstance(text, str) else sum(map(len, text))
        return kept(text) if size <= LARGEST_SHARED else read(text)

    return read_once


@shared
def sentences(text: str) -> tuple[str, ...]:
    """Split at sentence ends and line breaks, but not after an abbreviation.

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
    """Split `text` into words, in order, with one form for each date, time and number."""
    plain = unified(text)
    found: list[Word] = []
    at = 0
    for token in _TOKEN.finditer(plain):
        start = token.start()
        if start < at:  # within the last quantity
            continue
        word, run = token.groups()
        if word and word.lower() not in STARTS:
            found.append(_known_word(word) if len(word) <= LONGEST_KNOWN else _word(word))
        elif run:  # neighbouring characters overlap, so that no word boundary is needed
            found.extend(Word(run[i : i + 2]) for i in range(max(1, len(run) - 1)))
        elif quantity := quantity_at(plain, start):
            found.extend(quantity.words)
            at = quantity.end
        elif word:
            found.append(_known_word(word))
    return tuple(found)


def without_citations(answer: str, question: str, passages: Sequence[str] = ()) -> str:
    """Return an answer without what marks its sources, its links and its layout, which claims nothing.

    What only looks like that stays: what the question and the passages, if there are any, are about, numbers in
    brackets after a word that has such in the passages, too, and an answer that would be left without a word.
    """
    asked = {found[0] for found in _CITATION.finditer(question)}
    about_sources, about_html = (_is_about(it, question, passages) for it in (_ABOUT_SOURCES, _ABOUT_HTML))
    given = _GIVES_LIST.union(*map(_before_lists, passages)) if _NUMBERS.search(answer) else _GIVES_LIST

    def kept(found: re.Match[str]) -> str:
        mark = found[0]
        is_list = _NUMBERS.fullmatch(mark) and _word_before(answer, found.start()) in given
        is_asked = mark in asked or (found["sources"] and about_sources) or (found["tag"] and about_html)
        return mark if is_list or is_asked else " "

    bare = _CITATION.sub(kept, answer)
    return bare if re.search(r"\w", bare) else answer


def _is_about(subject: re.Pattern[str], question: str, passages: Sequence[str]) -> bool:
    # A question alone may only want an answer with its sources, or in HTML.
    return subject.search(question) is not None and (not passages or any(map(subject.search, passages)))


def _before_lists(text: str) -> set[str]:
    return {_word_before(text, found.start()) for found in _NUMBERS.finditer(text)} - {""}


def _word_before(text: str, end: int) -> str:
    last = (text[max(0, end - _NEAR) : end].split() or [""])[-1]
    return "=" if last.endswith("=") else last.lower()


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
    """Return a sentence as one line of at most `QUOTE` characters, in quotation marks."""
    line = " ".join("".join(c if c.isprintable() else " " for c in sentence[: 2 * QUOTE]).split())
    return f"“{line if len(line) <= QUOTE else line[: QUOTE - 1] + '…'}”"


@dataclass(slots=True)
class Vocabulary:
    """The words of one text, the pairs of neighbours in it, what it denies, and the units of its numbers."""

    stems: set[str] = field(default_factory=set[str])
    prefixes: set[str] = field(default_factory=set[str])
    pairs: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    negated: set[str] = field(default_factory=set[str])
    units: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def add(self, text: Sequence[Word]) -> None:
        """Add the words of a text."""
        stems = [word.stem for word in text]
        self.stems.update(stems)
        for word in text:
            if word.also:
                self.stems.update(word.also)
            if word.number:
                for value in (word.stem, *word.also):
                    self.units.setdefault(value, set()).add(word.unit)
        self.prefixes.update(word.stem[:PREFIX] for word in text if len(word.stem) >= PREFIX and not word.unit)
        self.pairs.update(pairwise(stems))
        self.pairs.update(pairwise(word.stem for word in text if not word.stop))
        self.negated.update(denied_in(text))

    def credit(self, word: Word) -> float:
        """Return how well a word is known here: 1 for its stem, less for its first letters, else 0."""
        if word.stem in self.stems or not self.stems.isdisjoint(word.also):
            return 1.0
        return _PREFIX_CREDIT if not word.number and word.stem[:PREFIX] in self.prefixes else 0.0

    def in_another_unit(self, number: Word) -> bool:
        """Whether a number occurs here only with units other than its own."""
        units = set[str]().union(*(self.units.get(value, ()) for value in (number.stem, *number.also)))
        return bool(number.unit) and "" not in units and number.unit not in units


def denied_in(text: Sequence[Word]) -> Iterable[str]:
    """Yield the stem of the content word after each negation: what is denied."""
    denying = False
    for position, word in enumerate(text):
        if word.denies:
            denying = position > 0 or not _starts_with_an_answer(text)
        elif denying and not word.stop:
            denying = False
            yield word.stem


def _starts_with_an_answer(text: Sequence[Word]) -> bool:
    """Whether a text starts with a "no" that answers a question ("No, it is …") and denies nothing that follows."""
    return text[0].stem == "no" and len(text) > 1 and text[1].stop and text[1].stem != "one"
