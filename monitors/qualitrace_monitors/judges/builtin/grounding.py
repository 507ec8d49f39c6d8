"""Groundedness and faithfulness: does the answer rest on the passages, and does it keep what they say?

Groundedness asks whether every claim is supported somewhere in the passages. Faithfulness asks whether the answer
alters its source: the claim has to hold together in one sentence of it, and changed numbers, names and negations
weigh more.

An answer that only says that it does not know claims nothing, and so is grounded and faithful; whether that is any
use is for relevance to say. Questions and courtesies ("Let me know if …") claim nothing either, but an answer of
nothing else leaves the judge unsure. So does, for faithfulness, a longer answer that would pass and is not the
passages' word for word: a small alteration in it would not show.

In another language than English, and between languages, words say little: there an answer passes that is the passages'
word for word, one fails that has another number in a sentence of theirs, and the judge is unsure of all others.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from qualitrace_collector.sample import Sample
from qualitrace_monitors.judges.builtin.evidence import Passages, Support, index, support
from qualitrace_monitors.judges.builtin.refusals import is_refusal, is_unknowing
from qualitrace_monitors.judges.contract import NotApplicable
from qualitrace_monitors.judges.local.language import UNMEASURED, is_all_english
from qualitrace_monitors.judges.local.rules import Finding, Rules
from qualitrace_monitors.judges.local.text import MAX_ANSWER, quote, sentences, words

_COURTESY = re.compile(
    r"^(?:let me know|i hope|hope (?:this|that)|feel free|please (?:let|feel|contact)|you're welcome"
    r"|thank|thanks|sure[,!.]"
    r"|of course|certainly|(?:i'm |i am )?happy to|is there anything|if you (?:have|need))",
    re.IGNORECASE,
)
MAX_SENTENCES = 200
"""Sentences of an answer that are compared; later ones are left out."""
MAX_BESIDE = 500
"""Characters of each passage that show which language a short answer is in."""
SHORT = 12
"""Content words, in sentences not taken word for word, up to which an alteration would show."""
_NEARLY_ALL = 0.95
"""Alignment above which a claim is a sentence of the passages, but for its negation."""
_NOTHING_TOLD = 0.5
"""The value of an answer such as "Yes." whose words neither agree nor disagree with the passages."""


@dataclass(frozen=True, slots=True)
class _Claim:
    sentence: str
    value: float
    support: Support


def assess_groundedness(sample: Sample) -> Finding:
    """Rate how far every claim of the answer is supported by the passages."""
    return _assess(sample, _grounded, "supported by", _may_deny)


def assess_faithfulness(sample: Sample) -> Finding:
    """Rate how far the answer keeps what the passages say."""
    return _assess(sample, _faithful, "faithful to", _may_hide_alterations)


def _grounded(found: Support) -> float:
    numbers = sum(item[0].isdigit() for item in found.missing)
    names = len(found.missing) - numbers
    return (0.7 * found.coverage + 0.3 * found.order) * 0.5 ** min(numbers, 2) * 0.8 ** min(names, 2)


def _faithful(found: Support) -> float:
    altered = 0.45 ** min(len(found.missing), 3) * found.agreement
    return (0.5 * found.coverage + 0.2 * found.order + 0.3 * found.alignment) * altered


def _may_deny(claims: list[_Claim]) -> str:
    opposite = any(claim.support.agreement < 1 and claim.support.alignment > _NEARLY_ALL for claim in claims)
    return "a sentence of the passages has the same words and denies them, or is denied" if opposite else ""


def _may_hide_alterations(claims: list[_Claim]) -> str:
    own = sum(claim.support.words for claim in claims if min(claim.support.coverage, claim.support.order) < 1)
    return f"{own} words are not in the source's wording, so a small alteration would not show" if own > SHORT else ""


def _assess(
    sample: Sample, rate: Callable[[Support], float], relation: str, doubt: Callable[[list[_Claim]], str]
) -> Finding:
    answer, passages = sample.outputs[:MAX_ANSWER], tuple(text for text in sample.passages if text.strip())
    if not answer.strip():
        raise NotApplicable("the sample has no outputs")
    if not passages:
        raise NotApplicable("the sample has no passages")
    indexed = index(passages)
    question = frozenset(word.stem for word in words(sample.inputs[:MAX_ANSWER]) if not word.stop)
    said = sentences(answer)
    cut = len(sample.outputs) > MAX_ANSWER or len(said) > MAX_SENTENCES
    truncated = ("outputs",) * cut + ("passages",) * indexed.truncated
    told = [sentence for sentence in said[:MAX_SENTENCES] if not (_declines(sentence) or _is_talk(sentence))]
    if not told and any(_declines(sentence) for sentence in said):
        return Finding(1.0, "The answer makes no claim: it only declines.", truncated)
    claims = [
        _Claim(sentence, rate(found), found)
        for sentence in told
        if (found := support(sentence, indexed, question)) is not None
    ]
    if not claims:
        return Finding(_NOTHING_TOLD, f"{quote(answer)} has nothing to compare with the passages.", truncated)
    english = is_all_english(answer, "\n".join(passage[:MAX_BESIDE] for passage in passages)[:MAX_ANSWER])
    return Finding(
        _combine(claims),
        _explain(claims, relation),
        truncated,
        doubt=doubt(claims) if _may_pass(claims, indexed, english) else UNMEASURED,
        excuse="" if _may_fail(claims, indexed, english) else UNMEASURED,
    )


def _may_pass(claims: list[_Claim], passages: Passages, english: bool) -> bool:
    """Whether words that agree say that the claims do: in another language than English, only word for word."""
    return (english and not all(passages.foreign)) or all(passages.literal.holds(claim.sentence) for claim in claims)


def _may_fail(claims: list[_Claim], passages: Passages, english: bool) -> bool:
    """Whether words that are missing say that a claim is: passages in another language may hold it in theirs."""
    measured = english and not any(passages.foreign)
    return measured or any(passages.literal.contradicts(claim.sentence) for claim in claims)


def _declines(sentence: str) -> bool:
    return is_unknowing(sentence) or is_refusal(sentence)


def _is_talk(sentence: str) -> bool:
    return sentence.rstrip("\"'”’ ").endswith(("?", "？")) or _COURTESY.match(sentence) is not None


def _combine(claims: list[_Claim]) -> float:
    """Weigh the mean of the claims and the worst of them alike: one made-up sentence spoils a good answer."""
    total = sum(claim.support.weight for claim in claims)
    mean = sum(claim.value * claim.support.weight for claim in claims) / total
    return min(1.0, (mean + min(claim.value for claim in claims)) / 2)


def _explain(claims: list[_Claim], relation: str) -> str:
    worst = min(claims, key=lambda claim: claim.value)
    found = worst.support
    reasons = [f"{found.coverage:.0%} of its content is in the passages"]
    if found.missing:
        reasons.append(f"not found there: {', '.join(found.missing[:5])}")
    if found.agreement < 1:
        reasons.append("the passages say the opposite or deny it")
    return f"Least {relation} the passages: {quote(worst.sentence)} ({'; '.join(reasons)})."


_UNSEEN = {"pass_needs": frozenset({"outputs"}), "fail_needs": frozenset({"passages"})}
GROUNDEDNESS = Rules("groundedness", assess_groundedness, pass_at=0.6, doubt=0.2, **_UNSEEN)
FAITHFULNESS = Rules("faithfulness", assess_faithfulness, pass_at=0.6, doubt=0.2, **_UNSEEN)
