"""Groundedness and faithfulness: does the answer rest on the passages, and does it keep what they say?

Groundedness asks whether every claim is supported somewhere in the passages. Faithfulness asks whether the answer
alters its source: the claim has to hold together in one sentence of it, and changed numbers, names and negations
weigh more. Both compare each sentence of the answer with the passages by its content words, their order, its numbers
and its names.

An answer that only says that it does not know claims nothing, so it is grounded and faithful; relevance judges whether
it is of any use. Questions and courtesies ("Let me know if …") claim nothing either, but an answer of nothing else
leaves the judge unsure. For faithfulness, so does a longer answer that would pass without being the passages' word for
word: a small alteration in it would not show.

In another language than English, and between languages, words say little. There an answer passes if it is word for
word in the passages, fails if it has another number in a sentence of theirs, and leaves the judge unsure otherwise.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin.refusal import declines
from qualitrace_monitors.judges.contract import BuiltinMetric, Finding, TextName
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english, is_clearly_foreign
from qualitrace_monitors.judges.local.normal import Word, folded, unified
from qualitrace_monitors.judges.local.text import (
    MAX_ANSWER,
    MAX_PASSAGES,
    Vocabulary,
    denied_in,
    quote,
    sentences,
    shared,
    without_citations,
    words,
)

MAX_SENTENCES = 200  # sentences of an answer that are compared; later ones are left out
# Sentences of all passages that are aligned one by one; if there are more, neighbours are taken together.
MAX_ALIGNED = 500
MAX_BESIDE = 500  # characters of each passage that show which language a short answer is in
SHORT = 12  # content words, in sentences not taken word for word, up to which an alteration would show
# Alignment above which two sentences are about the same, so that a negation in one of them counts.
_SAME_MATTER = 0.6
_NEARLY_ALL = 0.95  # alignment above which a claim is a sentence of the passages, but for its negation
# Agreement of two sentences of which one denies what the other affirms, or which deny different words.
_OPPOSITE, _DENIED_ELSEWHERE = 0.35, 0.5
# The value of an answer such as "Yes." whose words neither agree nor disagree with the passages.
_NO_CLAIM = 0.5
_COURTESY = re.compile(
    r"^(?:let me know|i hope|hope (?:this|that)|feel free|please (?:let|feel|contact)|you're welcome|thank|thanks"
    r"|sure[,!.]|of course|certainly|(?:i'm |i am )?happy to|is there anything|if you (?:have|need))",
    re.IGNORECASE,
)
_NO_LETTER = re.compile(r"[\W_]+")


@dataclass(slots=True)
class Literal:
    """The sentences of texts, and the numbers between each two words: what can be compared in any language.

    Anything else takes knowledge of the language: one unseen "not" reverses a sentence.
    """

    sentences: set[str] = field(default_factory=set[str])
    values: set[str] = field(default_factory=set[str])
    places: dict[tuple[str, str], set[str]] = field(default_factory=dict[tuple[str, str], set[str]])

    def add(self, text: str, read: Sequence[Word]) -> None:
        """Add a text and its words."""
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
class Claim:
    """A sentence of the answer, and how far the passages support it.

    Attributes:
        coverage: weighted share of its content words that occur in the passages.
        order: share of its neighbouring content words that are neighbours there too.
        alignment: weighted share of its content words that occur in one sentence of the passages.
        missing: numbers and names of the sentence that occur nowhere in the passages.
        agreement: how far the best aligned sentences deny what this one denies: 1, or less where they differ.
        weight: how much the sentence claims, as the sum of its words' weights.
        words: how many content words it has.
    """

    sentence: str
    coverage: float
    order: float
    alignment: float
    missing: tuple[str, ...]
    agreement: float
    weight: float
    words: int


def assess_groundedness(sample: Sample) -> Finding:
    """Rate how far every claim of the answer is supported by the passages."""
    return _assess(sample, _grounded, "supported by", _may_deny)


def assess_faithfulness(sample: Sample) -> Finding:
    """Rate how far the answer keeps what the passages say."""
    return _assess(sample, _faithful, "faithful to", _may_hide_alterations)


def _grounded(claim: Claim) -> float:
    # A number that is not in the passages weighs more than a name, which may be another name for something in them.
    numbers = sum(item[0].isdigit() for item in claim.missing)
    names = len(claim.missing) - numbers
    return (0.7 * claim.coverage + 0.3 * claim.order) * 0.5 ** min(numbers, 2) * 0.8 ** min(names, 2)


def _faithful(claim: Claim) -> float:
    altered = 0.45 ** min(len(claim.missing), 3) * claim.agreement
    return (0.5 * claim.coverage + 0.2 * claim.order + 0.3 * claim.alignment) * altered


def _may_deny(claims: list[Claim]) -> str:
    opposite = any(claim.agreement < 1 and claim.alignment > _NEARLY_ALL for claim in claims)
    return "a sentence of the passages has the same words and denies them, or is denied" if opposite else ""


def _may_hide_alterations(claims: list[Claim]) -> str:
    # One changed word in a paraphrase costs too little to fail: on SummEdits, before this, 3 altered summaries passed
    # for 5 true ones.
    own = sum(claim.words for claim in claims if min(claim.coverage, claim.order) < 1)
    return f"{own} words are not in the source's wording, so a small alteration would not show" if own > SHORT else ""


def _assess(
    sample: Sample, rate: Callable[[Claim], float], relation: str, doubt: Callable[[list[Claim]], str]
) -> Finding:
    passages = tuple(text for text in sample.passages if text.strip())
    answer = without_citations(sample.outputs, sample.inputs, passages)
    indexed = index(passages)
    question = frozenset(word.stem for word in words(sample.inputs) if not word.stop)
    said = sentences(answer)
    cut: tuple[TextName, ...] = ("outputs",) * (len(said) > MAX_SENTENCES) + ("passages",) * indexed.truncated
    stated = [sentence for sentence in said[:MAX_SENTENCES] if not (declines(sentence) or _is_talk(sentence))]
    if not stated and any(map(declines, said)):
        return Finding(1.0, "The answer makes no claim: it only declines.", cut)
    claims = [found for sentence in stated if (found := compare(sentence, indexed, question))]
    if not claims:
        return Finding(_NO_CLAIM, f"{quote(answer)} has nothing to compare with the passages.", cut)
    english = is_all_english(answer, "\n".join(passage[:MAX_BESIDE] for passage in passages)[:MAX_ANSWER])
    # Words that agree show that the claims do, but in another language than English only word for word.
    decides_pass = english and not all(indexed.foreign)
    decides_pass = decides_pass or all(indexed.literal.holds(claim.sentence) for claim in claims)
    # Words that are missing show that a claim is, unless passages in another language may hold it in theirs.
    decides_fail = english and not any(indexed.foreign)
    decides_fail = decides_fail or any(indexed.literal.contradicts(claim.sentence) for claim in claims)
    values = list(map(rate, claims))
    return Finding(
        _combine(claims, values),
        _explain(claims[values.index(min(values))], relation),
        cut,
        doubt=doubt(claims) if decides_pass else UNMEASURED,
        excuse="" if decides_fail else UNMEASURED,
    )


def _is_talk(sentence: str) -> bool:
    return sentence.rstrip("\"'”’ ").endswith(("?", "？")) or _COURTESY.match(sentence) is not None


def _combine(claims: list[Claim], values: list[float]) -> float:
    """Weigh the mean of the claims and the worst of them alike: one made-up sentence spoils a good answer."""
    weighted = sum(value * claim.weight for claim, value in zip(claims, values, strict=True))
    mean = weighted / sum(claim.weight for claim in claims)
    return min(1.0, (mean + min(values)) / 2)


def _explain(worst: Claim, relation: str) -> str:
    reasons = [f"{worst.coverage:.0%} of its content is in the passages"]
    if worst.missing:
        reasons.append(f"not found there: {', '.join(worst.missing[:5])}")
    if worst.agreement < 1:
        reasons.append("the passages say the opposite or deny it")
    return f"Least {relation} the passages: {quote(worst.sentence)} ({'; '.join(reasons)})."


@shared  # groundedness and faithfulness of a trace are judged close together
def index(passages: tuple[str, ...]) -> Passages:
    """Index passages; each is cut to its equal share of `MAX_PASSAGES` characters."""
    share = MAX_PASSAGES // max(1, len(passages))
    everything = Vocabulary()
    literal = Literal()
    by_sentence: list[Vocabulary] = []
    seen = [passage[:share] for passage in passages]
    for passage in seen:
        read = words(passage)
        everything.add(read)
        literal.add(passage, read)
        by_sentence.extend(_sentence_vocabularies(passage, MAX_ALIGNED // len(passages) or 1))
    foreign = tuple(map(is_clearly_foreign, seen))
    return Passages(everything, by_sentence, literal, foreign, any(len(passage) > share for passage in passages))


def _sentence_vocabularies(passage: str, limit: int) -> Iterable[Vocabulary]:
    parts = sentences(passage)
    step = -(-len(parts) // limit) or 1  # rounded up, and 1 for a passage without sentences
    for start in range(0, len(parts), step):
        vocabulary = Vocabulary()
        for sentence in parts[start : start + step]:
            vocabulary.add(words(sentence))
        yield vocabulary


def compare(sentence: str, passages: Passages, question: frozenset[str]) -> Claim | None:
    """Compare a sentence with the passages; None if it has no content word, and so claims nothing.

    Args:
        sentence: one sentence of the answer.
        passages: what it should rest on.
        question: stems of the question's words; to repeat them claims less.
    """
    all_words = words(sentence)
    content = [word for word in all_words if not (word.stop or word.denies)]
    if not content:
        return None
    # An answer that repeats the question's words sounds grounded without saying anything.
    weights = [_weight(word) * (0.5 if word.stem in question else 1.0) for word in content]
    known = passages.everything
    coverage = _share(content, weights, known)
    pairs = list(pairwise(word.stem for word in content))
    shares = [(_share(content, weights, other), other) for other in passages.sentences]
    aligned = max((share for share, _ in shares), default=0.0)
    denied = set(denied_in(all_words))
    return Claim(
        sentence=sentence,
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


def _weight(word: Word) -> float:
    """Weigh longer words, names and numbers more: they say more.

    The weights are fixed. If they came from the passages (inverse document frequency), one more passage could lower
    the support of a claim.
    """
    return (2.0 if word.number else 1.5 if word.capitalised else 1.0) * min(len(word.stem), 8) ** 0.5


def _share(content: Sequence[Word], weights: Sequence[float], known: Vocabulary) -> float:
    credits = sum(weight * known.credit(word) for word, weight in zip(content, weights, strict=True))
    return credits / sum(weights)


def _missing(sentence: Sequence[Word], known: Vocabulary, question: frozenset[str]) -> Iterable[str]:
    for position, word in enumerate(sentence):
        # Any word is capitalised at the start of a sentence.
        named = word.capitalised and position > 0 and not word.stop and word.stem not in question
        if (word.number or named) and not known.credit(word):
            yield word.stem
        elif word.number and known.in_another_unit(word):
            yield f"{word.stem} {word.unit}"


def _agreement(content: Sequence[Word], denied: set[str], other: Vocabulary) -> float:
    """Compare what two sentences deny of the words that both hold; if only one denies, it says the opposite."""
    both = {word.stem for word in content} & other.stems
    here, there = both & denied, both & other.negated
    if here == there:
        return 1.0
    return _DENIED_ELSEWHERE if here and there else _OPPOSITE


def _bare(sentence: str) -> str:
    return _NO_LETTER.sub(" ", folded(unified(sentence))).strip()


def _numbers(text: Sequence[Word]) -> Iterator[tuple[tuple[str, str], Word]]:
    """Yield each number that stands between two words, with the two."""
    for before, word, after in zip(text, text[1:], text[2:], strict=False):
        if word.number:
            yield (before.stem, after.stem), word


GROUNDEDNESS = BuiltinMetric(
    name="groundedness",
    asks="is every claim of the answer supported by the passages?",
    needs=("passages", "outputs"),
    version=2,
    rules="each sentence's content words, their order, numbers and names, looked for in the passages",
    assess=assess_groundedness,
    whole_for_pass=("outputs",),
    whole_for_fail=("passages",),
    criterion_version=1,
    criterion=(
        "Groundedness: is every claim in the answer supported by the document? Use no knowledge of your own. Whether "
        "the answer is useful does not matter; an answer that only says that it does not know is grounded."
    ),
)
FAITHFULNESS = BuiltinMetric(
    name="faithfulness",
    asks="does the answer keep what the passages say, without contradicting or altering it?",
    needs=("passages", "outputs"),
    version=2,
    rules="the same, held against single sentences; altered numbers, names and negations weigh more",
    assess=assess_faithfulness,
    whole_for_pass=("outputs",),
    whole_for_fail=("passages",),
    criterion_version=1,
    criterion=(
        "Faithfulness: does the answer keep what the document says? It must not contradict it or change its numbers, "
        "names, dates, conditions or negations. Leaving things out is allowed."
    ),
)
