"""What can be said of an answer in any language: it is there word for word, or has another number in the same place.

All else takes knowledge of the language: one unseen "not" turns a sentence round.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qualitrace_monitors.judges.local.normal import folded, unified
from qualitrace_monitors.judges.local.text import sentences, words
from qualitrace_monitors.judges.local.word import Word

_NO_LETTER = re.compile(r"[\W_]+")


@dataclass(slots=True)
class Literal:
    """The sentences of texts, and which numbers stand between which two words."""

    sentences: set[str] = field(default_factory=set[str])
    values: set[str] = field(default_factory=set[str])
    places: dict[tuple[str, str], set[str]] = field(default_factory=dict[tuple[str, str], set[str]])

    def add(self, text: str, read: Sequence[Word]) -> None:
        """Take in a text and its words."""
        self.sentences.update(map(_bare, sentences(text)))
        for place, number in _numbers(read):
            values = {number.stem, *number.also}
            self.values |= values
            self.places.setdefault(place, set()).update(values)

    def holds(self, sentence: str) -> bool:
        """Whether a sentence is one of these, but for marks and capitals."""
        return _bare(sentence) in self.sentences

    def contradicts(self, sentence: str) -> bool:
        """Whether a number of the sentence is nowhere in these, where another stands between the same two words."""
        return any(
            place in self.places and self.values.isdisjoint({number.stem, *number.also})
            for place, number in _numbers(words(sentence))
        )


def _bare(sentence: str) -> str:
    return _NO_LETTER.sub(" ", folded(unified(sentence))).strip()


def _numbers(text: Sequence[Word]) -> Iterator[tuple[tuple[str, str], Word]]:
    """Yield each number that stands between two words, with the two."""
    for before, word, after in zip(text, text[1:], text[2:], strict=False):
        if word.number:
            yield (before.stem, after.stem), word
