"""How far passages support a sentence: the machinery that groundedness and faithfulness share.

A sentence is compared with the passages by its content words, their order, its numbers and its names. Weights are
fixed: were they taken from the passages (inverse document frequency), one more passage could lower the support.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from qualitrace_monitors.judges.builtin.literal import Literal
from qualitrace_monitors.judges.local.language import is_clearly_foreign
from qualitrace_monitors.judges.local.text import MAX_PASSAGES, sentences, shared, words
from qualitrace_monitors.judges.local.word import Word

PREFIX = 5
"""Letters that two forms of a word must share at least (`refund`, `refundable`)."""
MAX_SENTENCES = 500
"""Sentences of all passages that are aligned one by one; beyond, neighbours are taken together."""
_SAME_MATTER = 0.6
"""Alignment above which two sentences are about the same, so that a negation in one of them tells."""
_PREFIX_CREDIT = 0.75
_OPPOSITE, _DENIED_ELSEWHERE = 0.35, 0.5
"""Agreement of two sentences one of which denies what the other affirms, or that deny different words."""


@dataclass(slots=True)
class Vocabulary:
    """The words of one text, the pairs of neighbours in it, what it denies, and the units of its numbers."""

    stems: set[str] = field(default_factory=set[str])
    prefixes: set[str] = field(default_factory=set[str])
    pairs: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    negated: set[str] = field(default_factory=set[str])
    units: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def add(self, text: Sequence[Word]) -> None:
        """Take in the words of a text."""
        stems = [word.stem for word in text]
        self.stems.update(stems)
        for word in text:
            if word.also:
                self.stems.update(word.also)
            if word.number:
                for value in (word.stem, *word.also):
                    self.units.setdefault(value, set()).add(word.unit)
        self.prefixes.update(word.stem[:PREFIX] for word in text if len(word.stem) >= PREFIX and not word.unit)
        self.pairs.update(neighbours(stems))
        self.pairs.update(neighbours([word.stem for word in text if not word.stop]))
        self.negated.update(_negated(text))

    def credit(self, word: Word) -> float:
        """Say how well a word is known here: 1 for its stem, less for its first letters, else 0."""
        if word.stem in self.stems or not self.stems.isdisjoint(word.also):
            return 1.0
        return _PREFIX_CREDIT if not word.number and word.stem[:PREFIX] in self.prefixes else 0.0

    def in_another_unit(self, number: Word) -> bool:
        """Whether a number stands here, and only with units other than its own."""
        units = set[str]().union(*(self.units.get(value, ()) for value in (number.stem, *number.also)))
        return bool(number.unit) and "" not in units and number.unit not in units


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages, indexed: as one vocabulary, sentence by sentence, and to the letter.

    Attributes:
        foreign: for each passage, whether it is in another language than English.
    """

    everything: Vocabulary
    sentences: list[Vocabulary]
    literal: Literal
    foreign: tuple[bool, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Support:
    """What the passages say about a sentence.

    Attributes:
        coverage: weighted share of its content words that occur in the passages.
        order: share of its neighbouring content words that are neighbours there too.
        alignment: weighted share of its content words that occur in one sentence of the passages.
        missing: numbers and names of the sentence that occur nowhere in the passages.
        agreement: how far the best aligned sentences deny what this one denies: 1, or less where they differ.
        weight: how much the sentence claims, as the sum of its words' weights.
        words: how many content words it has.
    """

    coverage: float
    order: float
    alignment: float
    missing: tuple[str, ...]
    agreement: float
    weight: float
    words: int


@shared
def index(passages: tuple[str, ...]) -> Passages:
    """Index passages; each is cut to its equal share of `MAX_PASSAGES` characters.

    Groundedness and faithfulness of a trace are judged close together, so that the second finds the index made.
    """
    share = MAX_PASSAGES // max(1, len(passages))
    everything = Vocabulary()
    literal = Literal()
    by_sentence: list[Vocabulary] = []
    seen = [passage[:share] for passage in passages]
    for passage in seen:
        read = words(passage)
        everything.add(read)
        literal.add(passage, read)
        by_sentence.extend(_sentence_vocabularies(passage, MAX_SENTENCES // len(passages) or 1))
    foreign = tuple(map(is_clearly_foreign, seen))
    return Passages(everything, by_sentence, literal, foreign, any(len(passage) > share for passage in passages))


def _sentence_vocabularies(passage: str, limit: int) -> Iterable[Vocabulary]:
    parts = sentences(passage)
    step = -(-len(parts) // limit) or 1
    for start in range(0, len(parts), step):
        vocabulary = Vocabulary()
        for sentence in parts[start : start + step]:
            vocabulary.add(words(sentence))
        yield vocabulary


def support(sentence: str, passages: Passages, question: frozenset[str]) -> Support | None:
    """Compare a sentence with the passages; None when it has no content word, and so claims nothing.

    Args:
        sentence: one sentence of the answer.
        passages: what it should rest on.
        question: stems of the question's words; to repeat them claims less.
    """
    all_words = words(sentence)
    content = [word for word in all_words if not (word.stop or word.denies)]
    if not content:
        return None
    weights = [_weight(word) * (0.5 if word.stem in question else 1.0) for word in content]
    known = passages.everything
    coverage = _share(content, weights, known)
    pairs = neighbours([word.stem for word in content])
    shares = [(_share(content, weights, other), other) for other in passages.sentences]
    aligned = max((share for share, _ in shares), default=0.0)
    denied = set(_negated(all_words))
    return Support(
        coverage=coverage,
        order=sum(pair in known.pairs for pair in pairs) / len(pairs) if pairs else coverage,
        alignment=aligned,
        missing=tuple(_missing(all_words, known, question)),
        agreement=max(_agreement(content, denied, other) for share, other in shares if share == aligned)
        if aligned > _SAME_MATTER
        else 1.0,
        weight=sum(weights),
        words=len(content),
    )


def neighbours(stems: Sequence[str]) -> list[tuple[str, str]]:
    """List the pairs of words that stand side by side."""
    return list(pairwise(stems))


def _weight(word: Word) -> float:
    """Longer words, names and numbers say more: a stand-in for inverse document frequency."""
    return (2.0 if word.number else 1.5 if word.capitalised else 1.0) * min(len(word.stem), 8) ** 0.5


def _share(content: Sequence[Word], weights: Sequence[float], known: Vocabulary) -> float:
    credits = sum(weight * known.credit(word) for word, weight in zip(content, weights, strict=True))
    return credits / sum(weights)


def _missing(sentence: Sequence[Word], known: Vocabulary, question: frozenset[str]) -> Iterable[str]:
    for position, word in enumerate(sentence):
        named = word.capitalised and position > 0 and not word.stop and word.stem not in question
        if (word.number or named) and not known.credit(word):
            yield word.stem
        elif word.number and known.in_another_unit(word):
            yield f"{word.stem} {word.unit}"


def _negated(text: Sequence[Word]) -> Iterable[str]:
    """Yield the content word that follows each negation: what is denied."""
    denying = False
    for position, word in enumerate(text):
        if word.denies:
            denying = position > 0 or not _answers(text)
        elif denying and not word.stop:
            denying = False
            yield word.stem


def _answers(text: Sequence[Word]) -> bool:
    """Whether a text starts with a "no" that answers a question ("No, it is …") and denies nothing of what follows."""
    return text[0].stem == "no" and len(text) > 1 and text[1].stop and text[1].stem != "one"


def _agreement(content: Sequence[Word], denied: set[str], other: Vocabulary) -> float:
    """Compare what is denied of the words that both hold: one of them denying nothing is the opposite of the other."""
    both = {word.stem for word in content} & other.stems
    here, there = both & denied, both & other.negated
    if here == there:
        return 1.0
    return _DENIED_ELSEWHERE if here and there else _OPPOSITE
